#!/bin/bash
# Thousands of clips as a Slurm array job: every task takes its part of the same list and can be sent again.
#
#   sbatch examples/slurm_array.sh /shared/clips /shared/results
#
# A task that is cancelled or preempted ends its clip without a result; sent again, it goes on behind what is there.
#SBATCH --job-name=poses
#SBATCH --array=1-16
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -eu
clips=$1 results=$2
mkdir -p "$results/logs"
# exec: the signals of Slurm reach vipnas itself.
exec vipnas run "$clips" -o "$results/{name}.csv" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --skip-existing \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --progress lines --log-file "$results/logs/$SLURM_ARRAY_TASK_ID.log"
