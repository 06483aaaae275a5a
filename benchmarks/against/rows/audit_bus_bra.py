"""Time the audit of half of BUS-BRA (BUS_BRA_ROOT), or of as many synthetic images, without a cache."""

from audit_rows import time_audit

if __name__ == "__main__":
    time_audit("BUS_BRA_ROOT", "bus_bra", images=946)
