#!/bin/bash
# Thousands of clips as a Slurm array job: every task takes its part of the same list and can be sent again.
#
#   sbatch examples/slurm_array.sh /shared/clips /shared/results
#   sbatch --array=3,7 examples/slurm_array.sh /shared/clips /shared/results     # two of the parts again
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
# As many as --array has above: Slurm counts only the tasks that were sent, which may be some of them again.
parts=16
usage="usage: sbatch examples/slurm_array.sh CLIPS RESULTS"
clips=${1:?$usage} results=${2:?$usage} part=${SLURM_ARRAY_TASK_ID:?$usage}
mkdir -p "$results/logs"
# exec: the signals of Slurm reach vipnas itself.
exec vipnas run "$clips" -o "$results/{name}.csv" \
    --shard "$part/$parts" --skip-existing \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --progress lines --log-file "$results/logs/$part.log"
