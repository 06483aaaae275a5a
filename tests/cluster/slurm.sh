#!/usr/bin/env bash
# A real Slurm of two nodes on this machine, for tests: `slurm.sh up`, then `export SLURM_CONF=... PATH=...` as it says, and `slurm.sh down`.
#
# Everything lies in one folder (SLURM_FOLDER, else /tmp/bus_lightning_slurm): nothing of /etc is read or changed.
# Two partitions of the first node: jobs in `urgent` pre-empt those in `main`, which go back into the queue.
# A third one, `pair`, has both nodes. The name of the first one, which is also first in lists, leads to this machine.
# `sacct`, by which submitit asks how jobs ended, wants a database: a stand-in in bin/ asks squeue, which remembers an hour.
# Needs Debian's slurmctld, slurmd, slurm-client and munge, and root.
set -euo pipefail
folder=${SLURM_FOLDER:-/tmp/bus_lightning_slurm}
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$folder/slurm.conf
host=$(hostname -s) port=${SLURM_PORT:-16817}

stop() {  # the daemons, by the files that hold their ids, and wait for them
  for name in "slurmd.$host" "slurmd.$host-second" slurmctld munged; do
    local file=$folder/run/$name.pid pid
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  done
}

configure() {
  mkdir -p "$folder"/{bin,run,state,spool,log} "$folder/spool/$host" "$folder/spool/$host-second"
  chmod 755 "$folder" "$folder"/*
  (umask 077; head -c 1024 /dev/urandom > "$folder/munge.key")
  local cores memory
  cores=$(getconf _NPROCESSORS_ONLN)  # nproc heeds OMP_NUM_THREADS
  memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  cat > "$SLURM_CONF" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again waits as long as a credential lives.
AuthInfo=socket=$folder/run/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait=5
MinJobAge=3600
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$cores RealMemory=$memory State=UNKNOWN
NodeName=$host-second NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=pair Nodes=$host,$host-second MaxTime=INFINITE State=UP PriorityTier=1
CONF
  cat > "$folder/bin/sacct" <<'SACCT'
#!/bin/sh
echo "JobID|State|NodeList"
exec squeue --noheader --array --states=all --format="%i|%T|%N"
SACCT
  chmod +x "$folder/bin/sacct"
}

up() {
  for program in munged slurmctld slurmd sbatch; do
    command -v $program > /dev/null || { echo "$program is missing: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge" >&2; exit 1; }
  done
  stop
  rm -rf "$folder"
  configure
  munged --force --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
  slurmctld
  slurmd -N "$host"
  slurmd -N "$host-second"
  for _ in $(seq 100); do
    [ "$(sinfo --noheader --partition=pair --format=%T:%D 2>/dev/null)" = idle:2 ] && { echo "export SLURM_CONF=$SLURM_CONF PATH=$folder/bin:\$PATH"; return; }
    sleep 0.2
  done
  sinfo >&2 || true
  echo "The nodes do not become idle: see $folder/log" >&2
  exit 1
}

down() {
  [ -d "$folder" ] || return 0
  scancel --user="$(id -un)" 2>/dev/null || true
  for _ in $(seq 50); do [ -z "$(squeue --noheader 2>/dev/null)" ] && break; sleep 0.2; done
  stop
  rm -rf "$folder"
}

case "${1:-}" in
  up | down) "$1" ;;
  *) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
