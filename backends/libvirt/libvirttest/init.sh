# Runs as the first process of a host's namespaces: gives it directories, a view
# of its own processes and devices, and a loopback. $host is the test's directory.
# shellcheck shell=bash disable=SC2154 # $host and $accel come from the one who starts it
set -e
mount --make-rprivate /
mount -t proc proc /proc
# Control groups are mounted below /sys; without them libvirt leaves them alone.
umount --recursive --lazy /sys
mount -t sysfs sysfs /sys
# All of /run: D-Bus, the lock of iptables and the names of namespaces lie there too.
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/libvirt /run/netns /run/sshd /run/lock
for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt run:/run/libvirt; do
  mkdir -p "$host/${pair%%:*}"
  chmod 755 "$host/${pair%%:*}"
  mount --bind "$host/${pair%%:*}" "${pair#*:}"
done
ip link set lo up
# A /dev/kvm may be there and run no guest, and libvirtd would try
# it for 20 seconds. Its place is taken by what QEMU's user cannot open: libvirtd
# asks QEMU again, at every request, as long as KVM looks usable and is not.
if [ "$accel" != kvm ] && [ -e /dev/kvm ]; then
  mknod -m 600 /run/no-kvm c 1 3 # null: libvirt gives a domain its own /dev, and a plain file there fails it
  mount --bind /run/no-kvm /dev/kvm
fi
set +e
