#!/bin/bash
#SBATCH --job-name=resnet50
#SBATCH --output=logs/%x_%j.out
#SBATCH --error=logs/%x_%j.err
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --gres=gpu:a100:4
#SBATCH --cpus-per-task=32
#SBATCH --mem=240G
#SBATCH --time=2-00:00:00
#SBATCH --mail-user=mei@example.org
#SBATCH --mail-type=END,FAIL

module purge
source ~/venv/bin/activate
cd $SLURM_SUBMIT_DIR
srun python train.py --workers $SLURM_CPUS_PER_TASK --gpus $SLURM_GPUS_ON_NODE
