"What is said about a hand: altered landmarks, either hand, turned hands, and landmarks that are not there"
from dataclasses import replace
import numpy as np
import pytest
from asl_signs.runtime.landmarks import FINGERS, Hand, film_hands, from_row, to_row
from asl_signs.web.feedback import NO_HAND, differences, feedback

FILM = film_hands()  # as MediaPipe found them in real photographs
UPRIGHT = 'ABDEFIKLRSTUVWXY'


def in_mirror(hand):
    "The other hand, which makes the same sign"
    return Hand(hand.landmarks*(-1, 1, 1) + (200, 0, 0), hand.world*(-1, 1, 1), not hand.left, hand.score)


def turned(hand, degrees, axis):
    "The hand, turned about an axis through its middle"
    a, (i, j) = np.radians(degrees), [k for k in range(3) if k != axis]
    turn = np.eye(3)
    turn[[i, i, j, j], [i, j, i, j]] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    return replace(hand, world=hand.world@turn.T)


def bent(hand, finger):
    "The hand with a finger laid back onto its knuckle"
    world, (knuckle, *joints) = hand.world.copy(), FINGERS[finger]
    for share, joint in zip((.6, .35, .1), joints):
        world[joint] = world[knuckle] + share*(world[0] - world[knuckle])
    return replace(hand, world=world)


def straight(hand, finger):
    "The hand with a finger stretched, from the wrist through its knuckle"
    world, (knuckle, *joints) = hand.world.copy(), FINGERS[finger]
    for share, joint in zip((.45, .75, 1), joints):
        world[joint] = world[knuckle] + share*(world[knuckle] - world[0])
    return replace(hand, world=world)


def thumb_at(hand, other):
    "The hand with its thumb where it is in another sign of the same person, measured from the wrist"
    world = hand.world.copy()
    world[[1, 2, 3, 4]] = FILM[other].world[[1, 2, 3, 4]] - FILM[other].world[0] + world[0]
    return replace(hand, world=world)


CALLED = [('index', 'index'), ('middle', 'middle'), ('ring', 'ring'), ('pinky', 'little')]
either = pytest.mark.parametrize('side', [lambda hand: hand, in_mirror], ids=['as it is', 'in a mirror'])


@either
@pytest.mark.parametrize('sign', 'ABCDEFGHIKLOPRSUVWY')
def test_a_sign_as_it_should_be_gets_no_sentence(sign, side): assert differences(side(FILM[sign]), sign) == []


@either
@pytest.mark.parametrize('finger, called', CALLED)
def test_a_finger_is_bent(finger, called, side):
    assert f'Straighten your {called} finger.' in differences(side(bent(FILM['B'], finger)), 'B')


@either
def test_two_fingers_are_bent(side):
    hand = side(bent(bent(FILM['B'], 'index'), 'pinky'))
    assert feedback(hand, 'B') == 'Straighten your index and little fingers.'


@either
@pytest.mark.parametrize('finger, called', CALLED[1:])
def test_a_finger_is_straight(finger, called, side):
    assert f'Bend your {called} finger.' in differences(side(straight(FILM['L'], finger)), 'L')


@either
@pytest.mark.parametrize('sign, other, said', [
    ('L', 'S', 'Stretch your thumb out to the side.'), ('Y', 'S', 'Stretch your thumb out to the side.'),
    ('B', 'L', 'Lay your thumb across the palm.'), ('S', 'L', 'Lay your thumb over the bent fingers.'),
    ('V', 'L', 'Lay your thumb over the bent fingers.'),
    ('A', 'S', 'Lay your thumb beside the index finger, not over the fingers.')])
def test_the_thumb_is_moved(sign, other, said, side):
    assert said in differences(side(thumb_at(FILM[sign], other)), sign)


@either
@pytest.mark.parametrize('sign', UPRIGHT)
def test_the_palm_is_turned_away(sign, side):
    "By half a turn about the vertical axis, which no mirror does"
    hand = turned(side(FILM[sign]), 180, axis=1)
    left = side(FILM[sign]).left
    assert feedback(hand, sign, left=left) == 'Turn your palm towards the camera.'


@either
@pytest.mark.parametrize('degrees', [-25, -10, 10, 25])
@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('sign', 'BLVY')
def test_a_hand_that_is_turned_a_little_is_no_mistake(sign, axis, degrees, side):
    assert differences(turned(side(FILM[sign]), degrees, axis), sign) == []


@pytest.mark.parametrize('sign', 'BSLV')
def test_a_hand_upside_down(sign): assert feedback(turned(FILM[sign], 180, axis=2), sign) == 'Hold the hand upright.'


def test_sideways_signs(): assert feedback(FILM['U'], 'H') == 'Turn the hand, so that the fingers point to the side.'


def test_fingers_together_and_apart():
    assert feedback(FILM['U'], 'V') == 'Spread your index and middle fingers.'
    assert feedback(FILM['V'], 'U') == 'Bring your index and middle fingers together.'


def test_which_hand_is_not_guessed():
    "If MediaPipe and the landmarks disagree, nothing is said about the palm; about fingers it is"
    behind = replace(turned(FILM['B'], 180, axis=1), left=not FILM['B'].left)
    assert feedback(behind, 'B') == ''
    assert feedback(bent(behind, 'ring'), 'B') == 'Straighten your ring finger.'


LOST = FILM['B'].world.copy()
LOST[8] = np.nan


GONE = {'none': None, 'a joint lost': replace(FILM['B'], world=LOST),
        'all at one place': replace(FILM['B'], world=np.zeros((21, 3))),
        'all lost': replace(FILM['B'], world=np.full((21, 3), np.nan)),
        'a row without a hand': from_row(np.full(128, np.nan), 1)}


@pytest.mark.parametrize('hand', GONE.values(), ids=GONE)
@pytest.mark.parametrize('sign', ['A', 'H', 'space'])
def test_landmarks_that_are_not_there_get_no_invented_sentence(hand, sign): assert differences(hand, sign) == [NO_HAND]


def test_numbers_of_a_finder_are_enough():
    "The app hands over what the finder gave as a row"
    assert feedback(from_row(to_row(bent(FILM['B'], 'ring'), 200), 1), 'B') == 'Straighten your ring finger.'
