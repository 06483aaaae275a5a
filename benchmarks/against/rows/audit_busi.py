"""Time the audit of BUSI (BUSI_ROOT), or of as many synthetic images, without a cache."""

from audit_rows import time_audit

if __name__ == "__main__":
    time_audit("BUSI_ROOT", "busi", images=780)
