"Trainings that are kept: found where nothing can be written"
import torch
from fastai.vision.all import DataLoaders, Learner, nn
from asl_signs.core.cache import cache_dir
from asl_signs.train import keeping
from asl_signs.train.keeping import trained


def learner(): return Learner(DataLoaders([], []), nn.Linear(2, 2), nn.MSELoss(), path=cache_dir())


def test_a_kept_network_is_loaded_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    kept, new = learner(), learner()
    kept.save('net-1.5', with_opt=False)
    def refuse(path): raise PermissionError(f'{path} cannot be written to')
    monkeypatch.setattr(keeping, 'lock', refuse)
    assert trained(new, 'net-1.5', None) is new
    assert torch.equal(new.model.weight, kept.model.weight)
