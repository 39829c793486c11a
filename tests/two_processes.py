"""What each of two processes runs: `torchrun --nproc_per_node 2 tests/two_processes.py PICTURES FOLDER SETTINGS`

Each leaves a file in FOLDER that says how it ended. fastai sends the order of the pictures from process to process by
way of a graphics card. Where there is none, it has to stay where it is; nothing else is different."""
import json, sys
from pathlib import Path
import torch
import fastai.distributed
from asl_signs import multi
from asl_signs.core.settings import get_settings


def broadcast(self, numbers, rank):
    numbers = torch.LongTensor(numbers)
    torch.distributed.broadcast(numbers, rank)
    return numbers.tolist()

if not torch.cuda.is_available(): fastai.distributed.DistributedDL._broadcast = broadcast


def main(source, folder, **settings):
    data = multi.get_data(source, ['train'])
    learn = multi.train_on_all(data, get_settings(data, **settings), resume=False)
    loss, *_, accuracy = learn.validate()
    weights = sum(float(p.detach().double().abs().sum()) for p in learn.model.parameters())
    end = dict(accuracy=accuracy, pictures=len(learn.dls.valid_ds), bs=learn.dls.bs, weights=weights)
    (Path(folder)/f'{multi.rank_distrib()}.json').write_text(json.dumps(end))
    if torch.distributed.is_initialized(): torch.distributed.destroy_process_group()


if __name__ == '__main__': main(*sys.argv[1:3], **json.loads(sys.argv[3]))
