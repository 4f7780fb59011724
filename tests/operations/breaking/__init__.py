"""An app of the operator's own whose page breaks."""
