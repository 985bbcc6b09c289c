#!/usr/bin/env bash
# tests/fresh.sh SUITE [TEST.SH OPTION...]: what a newcomer does, on a machine that has nothing: a fresh clone of this
# repository in a debootstrap folder of bookworm or trixie, the README's first command on every sample, then ./test.sh.
#
# Needs root and debootstrap. The folder is kept as $TESSERA_FRESH/SUITE (build/fresh/SUITE by default); remove it to
# begin from nothing, packages included. apt inside uses this machine's sources, with the suite's name put in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
suite=${1-}
case "$suite" in
    bookworm | trixie) shift ;;
    *) echo "usage: tests/fresh.sh bookworm|trixie [OPTION OF test.sh]" >&2; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || { echo "tests/fresh.sh: debootstrap and chroot need root" >&2; exit 1; }

root=$(realpath -m "${TESSERA_FRESH:-build/fresh}")/$suite
if [ ! -e "$root/etc/os-release" ]; then
    mkdir -p "$root"
    debootstrap --variant=minbase "$suite" "$root" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
fi

here_suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"
cp -r /etc/apt/. "$root/etc/apt/"
find "$root/etc/apt" -name '*.list' -o -name '*.sources' | xargs -r sed -i "s/\\b$here_suite\\b/$suite/g"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

rm -rf "$root/srv/tessera"
git clone -q --no-hardlinks . "$root/srv/tessera"

cat >"$root/srv/run" <<'INSIDE'
set -eu
cd /srv/tessera
mount -t proc proc /proc
mkdir -p /dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -sf pts/ptmx /dev/ptmx
for picture in assets/samples/*.png assets/samples/*.jpg; do
    echo "./tessera.sh caption $picture"
    ./tessera.sh caption "$picture"
done
./test.sh "$@"
INSIDE
# A mount namespace of its own: the mounts end with it.
exec unshare --mount --fork env -i HOME=/srv PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
    chroot "$root" bash /srv/run "$@"
