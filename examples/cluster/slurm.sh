#!/usr/bin/env bash
# A Slurm array that writes a file of requests, one shard a task.
#
#   IN=requests.jsonl OUT=out sbatch examples/cluster/slurm.sh --tokens 400
#
# IN: the requests.  OUT: a folder that all nodes see.  SHARDS: tasks of the whole array (8; change --array with it).
# DRDIFF: the program (drdiff).  Arguments go to `drdiff batch`.
# Single tasks can be sent again at any time: `IN=… OUT=… sbatch --array=3,5 examples/cluster/slurm.sh …`.
#
#SBATCH --job-name=drdiff
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --output=drdiff-%A_%a.log
#SBATCH --open-mode=append
# Two minutes before its time is over the program is asked to stop. It ends after the current pass, with 75.
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

: "${IN:?name the file of requests in IN}" "${OUT:?name the output folder in OUT}"
export RAYON_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

code=0
# The task's number is the shard; it is read from SLURM_ARRAY_TASK_ID.
srun "${DRDIFF:-drdiff}" batch "$IN" -o "$OUT" --shards "${SHARDS:-8}" "$@" || code=$?

case $code in
    # Done, with failed requests in the errors file: to run it again would change nothing.
    1) exit 0 ;;
    # Interrupted: back into the queue, and on from where it was.
    75) scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" ;;
    *) exit "$code" ;;
esac
