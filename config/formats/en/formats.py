"""Times as core.templatetags.moments says them without a script; days that sort, as logs have them."""

DATETIME_FORMAT = "j M Y, H:i:s T"
DATE_FORMAT = "Y-m-d"
