"""Deep MIL ranking (Sultani, Chen and Shah, CVPR 2018)."""
