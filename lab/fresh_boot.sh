#!/bin/sh
# Boots the system in the folder $1 as a machine of its own; the other arguments are control groups to belong to.
# Namespaces like systemd-nspawn's: what it may see of this machine's devices and settings, it may not change.
set -e
root=$1
shift
for group in "$@"; do
    echo $$ >"$group/cgroup.procs"
done
[ -n "$O8_LAB_INSIDE" ] || O8_LAB_INSIDE=1 exec unshare --cgroup --net --mount --pid --uts --ipc --fork --kill-child \
    sh "$0" "$root"

mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net # of its own network only, and Docker has to set some of it
mount -o remount,bind,rw proc/sys/net
mount -t sysfs -o ro sysfs sys
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    for controller in $(sed -n 's/^[0-9]*:\([a-z,=_]\{1,\}\):.*/\1/p' /proc/self/cgroup); do
        mkdir "sys/fs/cgroup/${controller#name=}"
        mount -t cgroup -o "$controller" cgroup "sys/fs/cgroup/${controller#name=}"
    done
fi
mount -t tmpfs -o mode=755 dev dev
while read -r name minor; do
    mknod -m 666 "dev/$name" c 1 "$minor"
done <<END
null 3
zero 5
full 7
random 8
urandom 9
END
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
ip link set lo up
mkdir -p .this-machine
pivot_root . .this-machine
cd /
umount -l /.this-machine
exec env -i container=o8-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
