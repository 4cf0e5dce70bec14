#!/bin/sh
# The first process of a lab: a network of its own, with a bridge that all hosts hang on. It lives as long as
# somebody holds the other end of its standard input, and everything of the lab ends with it.
#   lab.sh <directory of the lab> <address of the controller, with prefix>
set -eu
place=$1
controller=$2
mount --make-rprivate /
mount --bind "$place/hosts" /etc/hosts
if [ -e /etc/resolv.conf ]; then mount --bind "$place/resolv.conf" /etc/resolv.conf; fi
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
ip address add "$controller" dev br0
: >"$place/up"
while read -r _; do :; done
