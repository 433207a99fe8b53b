#!/bin/bash
#SBATCH --container-image=docker://pytorch/pytorch:2.8
#SBATCH --container-mounts=/data:/data
#SBATCH --gpus=1
#SBATCH --time=10 --mem=1G -c 4
python -c 'import torch; print(torch.cuda.is_available())'
