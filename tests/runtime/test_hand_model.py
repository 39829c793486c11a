"The app's first start offers to fetch the hand model, and never where nobody can answer"
import sys
import pytest
from asl_signs.runtime import hand_model as module
from asl_signs.runtime.hand_model import HandsError, offer_hand_model


@pytest.fixture
def missing(monkeypatch, tmp_path):
    "MediaPipe is there, its weights are not, and somebody sits before a terminal"
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    monkeypatch.delenv('ASL_SIGNS_HAND_MODEL', raising=False)
    monkeypatch.setattr(module, 'find_spec', lambda name: True)
    monkeypatch.setattr(sys, 'stdin', type('Terminal', (), {'isatty': lambda self: True})())
    return tmp_path


def nobody(_): raise AssertionError('nobody was to be asked')


@pytest.mark.parametrize('answer', ['', 'n', 'no', 'what?'])
def test_without_a_yes_nothing_is_fetched(missing, answer, capsys):
    assert not offer_hand_model(lambda _: answer, fetch=lambda: nobody(0))
    said = capsys.readouterr().out
    assert 'MB' in said and 'Apache-2.0' in said and module.MODEL in said


def test_with_a_yes_it_is_fetched_once(missing):
    fetched = []
    offer_hand_model(lambda _: 'y', fetch=lambda: fetched.append(1))
    assert fetched == [1]


def test_no_network_is_no_reason_not_to_start(missing, capsys):
    def fetch(): raise HandsError('There is no network.')
    assert not offer_hand_model(lambda _: 'yes', fetch)
    assert 'starts without it' in capsys.readouterr().out


def test_nobody_is_asked_without_a_terminal(missing, monkeypatch):
    monkeypatch.setattr(sys, 'stdin', None)
    assert not offer_hand_model(nobody, nobody)


def test_nobody_is_asked_without_mediapipe(missing, monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    assert not offer_hand_model(nobody, nobody)
