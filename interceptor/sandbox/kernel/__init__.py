"""What the sandbox asks of the Linux kernel, in the kernel's own words: netlink, system calls, raw packets."""
