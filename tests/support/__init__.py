"""What tests share: a workspace, small data, ledgers and studies made by hand."""
