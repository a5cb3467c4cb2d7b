# shellcheck shell=bash disable=SC2034
# Names and addresses shared by every script of this folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${XDG_STATE_HOME:-$HOME/.local/state}/boutique-cluster # one cluster; removed by `down`
cache=${XDG_CACHE_HOME:-$HOME/.cache}/boutique-cluster       # binaries and images; kept
bin=$cache/bin
export PATH=$bin:$PATH:/usr/sbin:/sbin

node=boutique-node
node_ip=10.88.0.1
pod_cidr=10.89.0.0/24
load_balancer_cidr=10.90.0.0/24
service_cidr=10.96.0.0/16
dns_ip=10.96.0.10
pause_image=boutique.test/pause:1
coredns_image=boutique.test/coredns:1
probe_image=boutique.test/probe:1

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The process that holds the node's namespaces, if the cluster is up.
holder() {
  local pid
  read -r pid 2>/dev/null <"$state/pid" && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == unshare ]] && echo "$pid"
}

require_up() {
  holder || die "the cluster is down; start it with $here/up"
}

# render FILE: a manifest with ${name} replaced by the value of that variable.
render() {
  local text name
  text=$(<"$here/manifests/$1")
  for name in state node_ip pod_cidr dns_ip pause_image coredns_image; do
    text=${text//\$\{$name\}/${!name}}
  done
  echo "$text"
}
