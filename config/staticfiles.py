"""How static files are kept: under names that tell their content, so that browsers keep them for good."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedModules(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # WhiteNoise is not typed
    """Files by hashed names, and modules that import each other by these names: no page needs a build or a map."""

    support_js_module_import_aggregation = True
