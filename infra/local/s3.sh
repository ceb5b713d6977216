#!/usr/bin/env bash
# A real S3 store on this machine for trying and testing: one-node Ceph, in memory, with its RADOS gateway.
#
#   infra/local/s3.sh install            Debian's packages, as root or with sudo; 25 s
#   infra/local/s3.sh start [PORT]       on 127.0.0.1, port 7480; prints the environment to export
#   infra/local/s3.sh bucket NAME        makes a bucket
#   infra/local/s3.sh freeze | thaw      requests hang; they go on
#   infra/local/s3.sh stop               and all that it holds is gone
#
#   eval "$(infra/local/s3.sh start)" && infra/local/s3.sh bucket lab
#   gan run configs/digits.yaml --store s3://lab/models
#
# S3_HOME (/tmp/gan-s3) holds its state.  The keys are for this machine alone: nothing listens beyond loopback, but where
# S3_BIND names another address, as the one of the bridge of infra/local/hosts.sh.
set -euo pipefail

home=${S3_HOME:-/tmp/gan-s3}
conf=$home/ceph.conf
gateway=$home/run/client.rgw.pid
key=gan-local-key
secret=${S3_SECRET:-gan-local-secret}

write_configuration() {
  cat > "$conf" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v1:127.0.0.1:$1]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
run dir = $home/run
log file = $home/log/\$name.log
admin socket = $home/run/\$name.asok
pid file = $home/run/\$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 6442450944
mon data = $home/mon
osd data = $home/osd
# One that tells the monitor its place by itself may do so before it knows the monitor's fsid, and ends ("wrong fsid").
osd crush update on start = false
osd class update on start = false
[client.rgw]
rgw frontends = beast endpoint=${S3_BIND:-127.0.0.1}:$2
rgw data = $home/rgw
END
}

start_servers() {
  local map=$home/monmap disk
  monmaptool --create --addv a "[v1:127.0.0.1:$1]" --fsid "$(sed -n 's/^fsid = //p' "$conf")" "$map"
  ceph-mon -c "$conf" --mkfs -i a --monmap "$map"
  ceph-mon -c "$conf" -i a
  disk=$(cat /proc/sys/kernel/random/uuid)
  timeout 60 ceph -c "$conf" osd new "$disk"
  timeout 60 ceph -c "$conf" osd crush add 0 1 root=default host=local
  ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$disk"
  ceph-osd -c "$conf" -i 0
  radosgw -c "$conf" -n client.rgw
  for _ in $(seq 120); do
    curl -sf --max-time 5 "http://${S3_BIND:-127.0.0.1}:$2" > /dev/null && break
    sleep 0.5
  done
  timeout 60 radosgw-admin -c "$conf" user create --uid=gan --display-name=gan --access-key="$key" --secret-key="$secret"
}

say_environment() {
  echo "export AWS_ENDPOINT_URL=http://${S3_BIND:-127.0.0.1}:$1 AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret" \
    "AWS_DEFAULT_REGION=us-east-1"
}

stop_servers() {
  local file
  for file in "$home"/run/*.pid; do
    [ -f "$file" ] && kill -KILL "$(cat "$file")" 2> /dev/null || true
  done
  rm -rf "$home"
}

have() { # whether all of these are installed: command -v of several says yes where one is
  local tool
  for tool; do command -v "$tool" > /dev/null || return 1; done
}

case "${1:-}" in
  install)
    have radosgw ceph-mon ceph-osd ceph radosgw-admin curl && exit 0
    root="env"
    [ "$(id -u)" = 0 ] || root="sudo env"
    $root apt-get update -qq
    $root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      radosgw ceph-mon ceph-osd ceph-common curl > /dev/null
    ;;
  start)
    command -v radosgw > /dev/null || { echo "Ceph is not installed: infra/local/s3.sh install, as root" >&2; exit 1; }
    port=${2:-7480}
    monitor=$((port + 1))
    stop_servers
    mkdir -p "$home"/{mon,osd,run,log}
    write_configuration "$monitor" "$port"
    start_servers "$monitor" "$port" > "$home/log/start.log" 2>&1 || { tail -n 20 "$home/log/start.log" >&2; exit 1; }
    say_environment "$port"
    ;;
  bucket)
    python3 -c 'import sys, boto3; boto3.client("s3").create_bucket(Bucket=sys.argv[1])' "${2:?name a bucket}" ;;
  freeze) kill -STOP "$(cat "$gateway")" ;;
  thaw) kill -CONT "$(cat "$gateway")" ;;
  stop) stop_servers ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
