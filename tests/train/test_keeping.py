"Trainings: which rate the quick recipe takes, workers that die, networks that are kept where nothing can be written"
import pytest
import torch
from fastai.vision.all import DataLoaders, Learner, nn
from asl_signs.core.cache import cache_dir
from asl_signs.core.settings import Settings
from asl_signs.train import keeping
from asl_signs.train.keeping import train, trained


def learner(): return Learner(DataLoaders([], []), nn.Linear(2, 2), nn.MSELoss(), path=cache_dir())


def test_a_kept_network_is_loaded_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    kept, new = learner(), learner()
    kept.save('net-1.5', with_opt=False)
    def refuse(path): raise PermissionError(f'{path} cannot be written to')
    monkeypatch.setattr(keeping, 'lock', refuse)
    assert trained(new, 'net-1.5', None) is new
    assert torch.equal(new.model.weight, kept.model.weight)


@pytest.mark.parametrize('lr, rate', [(1e-2, 3e-3), (1e-4, 3e-5)], ids=['by default', 'a smaller one'])
def test_the_quick_recipe_learns_at_a_share_of_the_rate_that_was_set(lr, rate, monkeypatch):
    monkeypatch.setattr(keeping, 'train_quickly', lambda *arguments: arguments)
    assert train('a learner', Settings(recipe='quick', lr=lr, epochs=4)) == ('a learner', 2, pytest.approx(rate))
    assert .3*Settings.lr == 3e-3 # to the last bit: no network of record changes


@pytest.mark.parametrize('recipe', ['quick', 'original'])
def test_a_dead_worker_gets_advice_whatever_the_recipe(recipe, monkeypatch):
    def killed(*_, **__): raise RuntimeError('DataLoader worker (pid 9) is killed by signal: Bus error.')
    monkeypatch.setattr(keeping, 'train_quickly', killed)
    monkeypatch.setattr(Learner, 'fine_tune', killed)
    with pytest.raises(RuntimeError, match='ASL_SIGNS_WORKERS=0'): train(learner(), Settings(recipe=recipe))
