"The average of a training, also of one that goes wrong"
import pytest
import torch
from fastai.data.load import DataLoader
from fastai.vision.all import (SGD, CancelFitException, CancelStepException, Callback, DataLoaders, Learner,
                               SaveModelCallback, nn)
from asl_signs.train.callbacks import AverageWeights


class Counting(nn.Module):
    "One weight, whose gradient is always 1, and a buffer that counts"
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer('seen', torch.tensor(0))
        self.register_buffer('mean', torch.tensor(0.))
        self.register_buffer('seven', torch.tensor(7)) # as the tables of places in some networks
    def forward(self, x):
        if self.training: self.seen, self.mean = self.seen + 1, self.mean + 1
        return self.weight.expand(len(x))


class At(Callback):
    "Does something at an event"
    order = 90
    def __init__(self, event, do): setattr(self, event, lambda: do(self))


def counting(*cbs, epochs=2):
    "Twelve steps of 1: the weight goes from 0 to -12"
    dls = DataLoaders(*(DataLoader([(torch.zeros(1), torch.zeros(1))]*6, bs=1) for _ in range(2)))
    learn = Learner(dls, Counting(), loss_func=lambda pred, y: pred.mean(), opt_func=SGD, cbs=cbs, wd=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, 1)
    return learn


def keep_weight(weights):
    "What `At` does to note a weight"
    def do(cb): weights.append(cb.model.weight.item())
    return do


def by_hand(decay, steps):
    average = -1 # begins with the weights after the first step
    for k in range(1, steps): average += (1 - min(decay, (1 + k)/(10 + k)))*(-(k + 1) - average)
    return average


@pytest.mark.parametrize('decay', [0, .5, .998])
def test_the_average_as_by_hand(decay):
    validated = []
    learn = counting(AverageWeights(decay), At('after_validate', keep_weight(validated)))
    assert validated == pytest.approx([by_hand(decay, 6), by_hand(decay, 12)])
    assert learn.model.weight.item() == pytest.approx(validated[-1])
    assert (learn.model.seen, learn.model.seven) == (12, 7) and learn.model.mean == pytest.approx(-by_hand(decay, 12))


def test_training_goes_on_from_what_was_trained():
    began = []
    counting(AverageWeights(), At('before_train', keep_weight(began)))
    assert began == [0, -6]


def test_asking_again_changes_nothing():
    learn = counting(AverageWeights())
    before = learn.model.weight.item()
    with learn.no_bar(), learn.no_logging(): learn.validate(), learn.get_preds()
    assert learn.model.weight.item() == before


def test_a_second_training_begins_with_the_average_of_the_first():
    learn, began = counting(AverageWeights()), []
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1, cbs=At('before_train', keep_weight(began)))
    assert began == [pytest.approx(by_hand(.998, 12))]
    assert learn.model.weight.item() == pytest.approx(began[0] + by_hand(.998, 6))


def test_what_is_saved_is_what_was_validated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counting(AverageWeights(), SaveModelCallback(every_epoch=True))
    saved = [torch.load(f'models/model_{epoch}.pth', weights_only=True)['weight'].item() for epoch in (0, 1)]
    assert saved == pytest.approx([by_hand(.998, 6), by_hand(.998, 12)])


def stop(error, at):
    "Raise an error when so many training batches are done"
    def do(cb):
        if cb.training and cb.train_iter == at: raise error
    return do


def test_a_training_that_ends_early_ends_with_its_average():
    learn = counting(AverageWeights(), At('after_batch', stop(CancelFitException(), 4)))
    assert learn.model.weight.item() == pytest.approx(by_hand(.998, 4))


@pytest.mark.parametrize('event', ['after_batch', 'before_validate', 'after_validate'])
def test_an_interrupted_training_leaves_a_network(event):
    def interrupt(cb):
        if cb.train_iter == 6: raise KeyboardInterrupt
    average, seen = AverageWeights(), []
    class Catch(Callback):
        def after_create(self): seen.append(self.learn)
    with pytest.raises(KeyboardInterrupt): counting(Catch(), average, At(event, interrupt))
    learn, = seen
    weight = learn.model.weight.item()
    assert weight in (-6, pytest.approx(by_hand(.998, 6)))
    learn.remove_cbs([cb for cb in learn.cbs if isinstance(cb, At)])
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1)
    assert average.average is None and average.trained is None


def test_skipped_steps_do_no_harm():
    def skip(cb):
        if cb.train_iter % 2: raise CancelStepException()
    learn = counting(AverageWeights(), At('before_step', skip))
    assert -6 < learn.model.weight.item() < -4
