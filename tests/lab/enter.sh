# Runs as init on the read-only hostfs root; makes the overlay and enters it. `LAYER`, `RUN` and `BUSYBOX` are set above.
# Both scripts run in the static busybox, whose own applets serve for nearly all: starting a dynamic program costs the
# guest 10 ms.
die() { echo "lab: $*" >/dev/ttyS1; echo o >/proc/sysrq-trigger; sleep 5; exit 1; }
# By its path: an applet starts from /proc/self/exe, and /proc is still this machine's.
"$BUSYBOX" mount -t proc proc /proc || exit 1
read -r release </proc/sys/kernel/osrelease
insmod "$LAYER/usr/lib/uml/modules/$release/kernel/fs/overlayfs/overlay.ko" || die "overlay.ko did not load"
mount -t tmpfs -o size=75%,mode=755 tmpfs /mnt || die "no tmpfs"
mkdir /mnt/upper /mnt/work /mnt/root /mnt/layer
mount -t hostfs -o "$LAYER" none /mnt/layer || die "no hostfs of $LAYER"
mount -t overlay -o "lowerdir=/mnt/layer:/,upperdir=/mnt/upper,workdir=/mnt/work" root /mnt/root || die "no overlay"
cd /mnt/root
mkdir -p proc sys dev run mnt/.old usr/lib/modules
[ -e "usr/lib/modules/$release" ] || ln -s "/usr/lib/uml/modules/$release" "usr/lib/modules/$release"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lab run/lock
mount -t hostfs -o "$RUN" none run/lab || die "no hostfs of $RUN"
cat run/lab/session.sh >run/session.sh
pivot_root . mnt/.old || die "pivot_root"
exec chroot . /usr/bin/busybox sh /run/session.sh
