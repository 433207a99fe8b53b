#!/bin/bash
#SBATCH --gres=shard:2,tmpdisk:50G
#SBATCH --tmp=100G
#SBATCH --mem=16G
#SBATCH --time=30
./infer
