#!/usr/bin/env bash
# Several hosts on this machine, for trying what becomes of a cluster: network namespaces joined by one bridge.
#
#   infra/local/hosts.sh install          Debian's iproute2, as root or with sudo
#   infra/local/hosts.sh up N             host0 to hostN-1 at 10.77.0.10, .11, …; this machine is 10.77.0.1; needs root
#   infra/local/hosts.sh run HOST CMD…    runs a command as that host, with a name, a loopback and a /tmp/ray of its own
#   infra/local/hosts.sh cut | heal HOST  pulls its network cable; puts it back
#   infra/local/hosts.sh part | join HOST parts it from the other hosts, not from this machine; joins them again
#   infra/local/hosts.sh off HOST         a power cut: silence on its cable and SIGKILL to all that runs there
#   infra/local/hosts.sh pids HOST        all that runs there
#   infra/local/hosts.sh down             all of them off, and away
#
#   infra/local/hosts.sh up 2
#   infra/local/hosts.sh run host0 ray start --head --node-ip-address=10.77.0.10
#   infra/local/hosts.sh run host1 ray start --address=10.77.0.10:6379
#
# HOSTS_NAME (gan) and HOSTS_NET (10.77.0) tell two sets of hosts apart.  Nothing of them is reached from elsewhere.
# Clocks, disks, memory and CPUs are this machine's: hosts share them.
set -euo pipefail

name=${HOSTS_NAME:-gan}
net=${HOSTS_NET:-10.77.0}
home=/run/$name-hosts

place() { echo "$name-$1"; }
cable() { echo "$name-${1#host}"; }

hosts() { ip netns list | awk -v start="$name-" 'index($1, start) == 1 {print substr($1, length(start) + 1)}'; }

add_host() {
  local number=$1 other
  local host=host$number space
  space=$(place "$host")
  ip netns add "$space"
  ip link add "$(cable "$host")" type veth peer name eth0 netns "$space"
  ip link set "$(cable "$host")" master "$name-br" up
  ip -n "$space" addr add "$net.$((10 + number))/24" dev eth0
  ip -n "$space" link set lo up
  ip -n "$space" link set eth0 up
  ip -n "$space" route add default via "$net.1"
  mkdir -p "$home/$host" "/etc/netns/$space"
  # as Debian's installer leaves it: a host's own name leads to its loopback.  Names of the others are known, as by a
  # name server, which nothing else is asked: gloo looks up whoever connects, and waits 10 s for a server that is silent
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$host" > "/etc/netns/$space/hosts"
  for other in $(seq 0 $(($2 - 1))); do
    [ "$other" = "$number" ] || echo "$net.$((10 + other)) host$other" >> "/etc/netns/$space/hosts"
  done
  echo "$net.$((10 + number)) $host-net" >> "/etc/netns/$space/hosts"
  : > "/etc/netns/$space/resolv.conf"
}

off() {
  local pids
  ip link set "$(cable "$1")" down
  for _ in $(seq 50); do
    pids=$(ip netns pids "$(place "$1")" 2> /dev/null)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # several words
    kill -KILL $pids 2> /dev/null || true
    sleep 0.1
  done
}

other_hosts() {
  local host
  for host in $(hosts); do [ "$host" = "$1" ] || echo "$net.$((10 + ${host#host}))/32"; done
}

down() {
  local host
  for host in $(hosts); do
    off "$host"
    ip netns del "$(place "$host")"
    rm -rf "/etc/netns/$(place "$host")"
  done
  ip link del "$name-br" 2> /dev/null || true
  rm -rf "$home"
}

up() {
  down
  ip link add "$name-br" type bridge
  ip addr add "$net.1/24" dev "$name-br"
  ip link set "$name-br" up
  for number in $(seq 0 $(($1 - 1))); do add_host "$number" "$1"; done
}

case "${1:-}" in
  install)
    command -v ip > /dev/null && exit 0
    root="env"
    [ "$(id -u)" = 0 ] || root="sudo env"
    $root apt-get update -qq
    $root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 > /dev/null
    ;;
  up)
    if [ "$(id -u)" != 0 ] || ! command -v ip > /dev/null; then
      echo "hosts need root and iproute2: infra/local/hosts.sh install" >&2
      exit 1
    fi
    up "${2:?how many?}"
    ;;
  run)
    host=$2
    shift 2
    mkdir -p /tmp/ray
    # shellcheck disable=SC2016  # the inner shell's
    exec ip netns exec "$(place "$host")" unshare --uts sh -c \
      'hostname "$1" && mount --bind "$2" /tmp/ray && shift 2 && exec "$@"' run "$host" "$home/$host" "$@"
    ;;
  cut) ip link set "$(cable "$2")" down ;;
  heal) ip link set "$(cable "$2")" up ;;
  part) for other in $(other_hosts "$2"); do ip -n "$(place "$2")" route replace blackhole "$other"; done ;;
  join) for other in $(other_hosts "$2"); do ip -n "$(place "$2")" route del blackhole "$other" 2> /dev/null || true; done ;;
  off) off "$2" ;;
  pids) ip netns pids "$(place "$2")" ;;
  down) down ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
