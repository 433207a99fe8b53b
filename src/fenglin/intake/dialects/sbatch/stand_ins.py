"""Two small programs that stand in for Slurm's own outside of its jobs."""

SRUN = r"""#!/bin/sh
# Stands in for srun: runs this node's share of the copies, and waits for them.
copies=${SLURM_NTASKS:-1} nodes=${SLURM_JOB_NUM_NODES:-1} rank=${SLURM_NODEID:-0}
while [ $# -gt 0 ]; do
  case $1 in
    -n|--ntasks) copies=$2; shift ;;
    -n?*) copies=${1#-n} ;;
    --ntasks=*) copies=${1#*=} ;;
    -w|--nodelist) only=$2; shift ;;
    --nodelist=*) only=${1#*=} ;;
    --) shift; break ;;
    -[AcCdDeGiJLmMNopqrtTx]) shift ;;
    --nodes|--cpus-per-task|--mem|--mem-per-cpu|--gres|--gpus|--gpus-per-task) shift ;;
    --gpus-per-node|--threads-per-core|--hint|--jobid|--cpu-bind|--gpu-bind|--signal) shift ;;
    --ntasks-per-node|--partition|--account|--time|--job-name|--output|--error|--input) shift ;;
    --container-image|--container-mounts|--container-name|--container-workdir) shift ;;
    --chdir|--export|--mpi|--distribution|--constraint|--qos|--relative|--exclude) shift ;;
    -*) ;;
    *) break ;;
  esac
  shift
done
if [ "${only:-}" ]; then
  case ",$only," in *",$SLURMD_NODENAME,"*) nodes=1 rank=0 ;; *) exit 0 ;; esac
fi
share=$(((copies + nodes - 1) / nodes))
first=$((rank * share)) end=$((rank * share + share))
[ "$end" -le "$copies" ] || end=$copies
export SLURM_NTASKS="$copies" SLURM_STEP_NUM_TASKS="$copies"
local=0 status=0 pids=
while [ $((first + local)) -lt "$end" ]; do
  SLURM_PROCID=$((first + local)) SLURM_LOCALID=$local "$@" &
  pids="$pids $!" local=$((local + 1))
done
for pid in $pids; do
  wait "$pid" || status=$?
done
exit "$status"
"""

SCONTROL = r"""#!/bin/sh
# Stands in for `scontrol show hostnames`, which scripts need to find their nodes.
case "$1 $2" in
  "show hostname"|"show hostnames") echo "${3:-$SLURM_JOB_NODELIST}" | tr , '\n' ;;
  *) echo "scontrol $*: only \`scontrol show hostnames\` works here" >&2; exit 1 ;;
esac
"""

STAND_INS = {"srun": SRUN, "scontrol": SCONTROL}
