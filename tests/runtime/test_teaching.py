"Teaching: what it brings, what it leaves alone, what it refuses, and that nothing is lost when something goes wrong"
import errno, json, os, pickle, subprocess, sys
from dataclasses import replace
import numpy as np
import pytest
from PIL import ImageOps
from asl_signs import cli
from asl_signs.core.cache import CacheError
from asl_signs.core.signs import SIGNS
from asl_signs.datasets.drawing import portrait
from asl_signs.runtime import teaching
from asl_signs.runtime.bundle import read_bundle, shipped_bundle
from asl_signs.runtime.reader import SignReader
from asl_signs.runtime.teaching import (TYPICAL, Person, TeachingError, forget_person, known_people, load_person,
                                        model_of, person_file, teaching_of)

A, B, M, N = map(SIGNS.index, 'ABMN')


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    "What is learned here is kept in this test's folder"
    monkeypatch.setenv('ASL_SIGNS_TAUGHT', str(tmp_path/'taught'))


def unit(rows): return np.float32(rows/np.linalg.norm(rows, axis=1, keepdims=True))

def person(answers, read, seed=0, spread=.2, typical=None, directions=None, hands=True):
    "A person whose signs lie in directions of their own, and were read as something else now and then"
    rng = np.random.default_rng(seed)
    answers, read = np.array(answers), np.array(read)
    directions = np.arange(len(SIGNS)) if directions is None else directions
    seen = np.eye(len(SIGNS) + 3)[directions[answers]]
    pixels, landmarks = (unit(seen + spread*rng.normal(size=seen.shape)/5) for _ in range(2))
    log_probs = np.log(np.where(np.arange(len(SIGNS)) == read[:, None], .8, .2/28))
    return Person('any', answers, np.float32(log_probs), pixels, landmarks if hands else landmarks[:, :0], typical)


def read_as(log_probs): return log_probs.argmax(1).tolist()


def test_no_probability_is_above_one():
    "Not even by rounding: the speller would refuse it"
    every = np.arange(len(SIGNS))
    own = person(every.repeat(3), np.roll(every, 1).repeat(3))
    others = person(every.repeat(60), every.repeat(60), seed=1)
    logits = np.random.default_rng(2).normal(0, 60, others.log_probs.shape)
    others.log_probs = np.float32(logits - np.logaddexp.reduce(logits, 1, keepdims=True))
    assert (own.correction.apply(others) <= 0).all()


def test_a_mistake_is_corrected_in_pictures_that_were_not_taught():
    correction = person([M]*3 + [N]*3, [N]*6).correction
    assert read_as(correction.apply(person([M]*4 + [N]*4, [N]*8, seed=1))) == [M]*4 + [N]*4


def test_signs_that_were_not_taught_keep_their_probabilities():
    others = person([B]*3 + [M]*2, [B]*3 + [N]*2, seed=1)
    after = person([M]*3 + [N]*3, [N]*6).correction.apply(others)
    untaught = [i for i in range(len(SIGNS)) if i not in (M, N)]
    np.testing.assert_allclose(after[:, untaught], others.log_probs[:, untaught], atol=1e-6)
    np.testing.assert_allclose(np.exp(after).sum(1), 1, atol=1e-4)


def test_one_sign_alone_can_be_taught_if_others_are_known():
    assert person([M]*3, [N]*3).correction.idle # nothing says what an N is
    typical = person([*range(len(SIGNS))]*3, [*range(len(SIGNS))]*3, seed=2)
    correction, others = person([M]*3, [N]*3, typical=typical).correction, person([M, N, B], [N, N, B], seed=1)
    assert not correction.idle and read_as(correction.apply(others)) == [M, N, B]


def test_without_other_people_an_untaught_sign_would_be_lost():
    "Why a bundle brings typical features: this person's N is nearly like the M that was taught"
    near = np.arange(len(SIGNS))
    typical = person([*range(len(SIGNS))]*4, [*range(len(SIGNS))]*4, seed=2)
    own = person([M]*3 + [A]*3, [N]*3 + [A]*3, typical=typical, directions=near)
    after = own.correction.apply(person([N]*4, [N]*4, seed=1))
    assert read_as(after) == [N]*4


def test_nothing_is_learned_from_pictures_that_contradict_each_other():
    noise = person([M, N]*6, [M]*12, seed=4, directions=np.zeros(len(SIGNS), int))
    noise.log_probs[:, [M, N]] = np.log(.4)
    assert noise.correction.idle
    before = person([M, N], [M, N], seed=1)
    np.testing.assert_array_equal(noise.correction.apply(before), before.log_probs)
    said = teaching_of(noise)
    assert not said.changed and said.before == said.after and 'Nothing was learned' in said.sentences[0]


def test_it_says_how_pictures_were_read_before_and_after():
    said = teaching_of(person([M]*3 + [N]*3 + [A]*2, [N]*6 + [A]*2))
    assert said.signs['M'] == dict(pictures=3, before=0, after=3)
    assert said.signs['A'] == dict(pictures=2, before=2, after=2)
    assert (said.before, said.after, said.pictures, said.changed) == (5/8, 1, 8, True)
    assert '5 of 8 (62%)' in said.sentences[0] and '8 of 8 (100%)' in said.sentences[0] and 'too much' in str(said)


def test_a_picture_that_is_left_out_is_not_learned_from():
    "One of three pictures of M has features of its own: by what the others taught it is read as before"
    own = person([M]*3 + [N]*3, [N]*6)
    own.pixels[0] = own.landmarks[0] = np.eye(len(own.pixels[0]))[-1]
    assert own.correction.apply(own)[0].argmax() == M and own.left_out[0].argmax() == N


def test_single_pictures_promise_nothing():
    said = teaching_of(person([M, N], [N, N]))
    assert said.before == said.after == .5 and 'is not known' in said.sentences[0] and said.changed
    assert 'Of A there is one picture' in str(teaching_of(person([M]*2 + [N]*2 + [A], [N]*4 + [A])))


def test_a_sign_that_looks_like_another_is_named():
    same = np.arange(len(SIGNS))
    same[M] = same[N]
    said = str(teaching_of(person([M]*6 + [N]*6 + [A]*3, [N]*12 + [A]*3, directions=same, spread=.02)))
    assert 'M looks like N' in said or 'N looks like M' in said


def test_two_people_in_one_folder_are_noticed():
    signs = [i for i in range(12) for _ in range(3)]
    one, other = person(signs, signs), person(signs, signs, seed=1)
    assert 'all of one person' not in str(teaching_of(one))
    stranger = np.zeros((len(signs), 6), np.float32)
    stranger[:, 0] = 3 # what all pictures of one person have in common: a room, a camera
    def with_room(person, room):
        "The same person in a room"
        return replace(person, **{name: unit(np.hstack([getattr(person, name), np.roll(stranger, room, 1)]))
                                  for name in ('pixels', 'landmarks')})
    mixed = with_room(one, 0).joined(with_room(other, 1))
    assert 'all of one person' in str(teaching_of(mixed))


def test_later_pictures_are_added_whether_or_not_hands_were_found():
    first, second = person([M]*2, [N]*2), person([N]*2, [N]*2, hands=False)
    for some, others in ((first, second), (second, first)):
        both = some.joined(others)
        assert len(both) == 4 and both.landmarks.shape == (4, first.landmarks.shape[1])
        assert both.correction.coefficients.any()


def test_the_order_of_pictures_does_not_matter_to_what_is_taught():
    own, others = person([M]*3 + [N]*3, [N]*6), person([M]*2 + [N]*2, [N]*4, seed=1)
    other = own.of([5, 0, 3, 2, 4, 1])
    np.testing.assert_allclose(own.correction.apply(others), other.correction.apply(others), atol=.35)


# the files

@pytest.fixture(scope='module')
def bundle(): return read_bundle(shipped_bundle())

@pytest.fixture
def kept(bundle):
    "A person who was kept for the bundle that ships"
    one = replace(person([M]*3 + [N]*3, [N]*6), model=model_of(bundle))
    teaching.save_person(one, 'ME')
    return one


def test_what_is_kept_comes_back(kept, bundle):
    again = replace(load_person('ME', bundle), typical=None) # of other features than this drawn-up person's
    others = person([M]*2 + [N]*2, [N]*4, seed=1)
    assert known_people() == ['ME'] and len(again) == 6
    np.testing.assert_allclose(again.correction.apply(others), kept.correction.apply(others), atol=.05)


def test_the_file_is_small_and_holds_numbers_only(kept):
    file = person_file('ME')
    assert file.stat().st_size < 20_000
    with np.load(file, allow_pickle=False) as found:
        assert {*found} == {'about', 'answers', 'log_probs', 'pixels', 'landmarks'}
        assert {*json.loads(str(found['about']))} == {'format', 'version', 'model', 'sum'}
        assert all(found[name].dtype in (np.uint8, np.float16) for name in kept.arrays())


@pytest.mark.parametrize('harm', [lambda content: content[:-50], lambda content: b'', lambda content: b'PK' + content,
                                  lambda content: content[:2000] + b'!' + content[2001:]])
def test_a_broken_file_is_refused_and_stays(kept, bundle, harm):
    file = person_file('ME')
    content = harm(file.read_bytes())
    file.write_bytes(content)
    with pytest.raises(TeachingError, match='teach again'): load_person('ME', bundle)
    assert file.read_bytes() == content


def test_changed_numbers_are_noticed(kept, bundle):
    file = person_file('ME')
    with np.load(file) as found: arrays = dict(found)
    arrays['answers'] = arrays['answers'][::-1]
    with file.open('wb') as opened: np.savez(opened, **arrays)
    with pytest.raises(TeachingError, match='its sum is not right'): load_person('ME', bundle)


def test_a_pickle_is_never_loaded(bundle):
    person_file('ME').parent.mkdir(parents=True)
    class Harm:
        def __reduce__(self): return os.mkdir, (str(person_file('HARM')),)
    person_file('ME').write_bytes(pickle.dumps(Harm()))
    with pytest.raises(TeachingError): load_person('ME', bundle)
    with person_file('ME').open('wb') as opened: np.savez(opened, about=np.array([Harm()], object))
    with pytest.raises(TeachingError): load_person('ME', bundle)
    assert not person_file('HARM').exists()


def test_another_bundle_is_refused(kept, bundle):
    other = replace(bundle, config=replace(bundle.config, longest=777))
    with pytest.raises(TeachingError, match='with another reader'): load_person('ME', other)
    card = replace(bundle, files=bundle.files | {'README.md': b'another card'})
    assert len(load_person('ME', card)) == 6


@pytest.mark.parametrize('name', ['', '../me', 'a/b', 'a b', 'x'*41, '.'])
def test_names_are_no_paths(name):
    with pytest.raises(TeachingError, match='cannot be a name'): person_file(name)


def test_somebody_unknown(bundle, kept):
    with pytest.raises(TeachingError, match='Nothing was learned of YOU. Known are: ME.'): load_person('YOU', bundle)
    assert not forget_person('YOU') and forget_person('ME') and known_people() == []


def test_a_full_disk_loses_nothing(kept, bundle, monkeypatch):
    before = person_file('ME').read_bytes()
    def full(*_, **__): raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(teaching.np, 'savez', full)
    with pytest.raises(CacheError, match='No space left'): teaching.save_person(kept, 'ME')
    assert person_file('ME').read_bytes() == before and len([*person_file('ME').parent.iterdir()]) == 1


# the reader

def picture(sign, seed=0):
    "A drawn hand, nearer or further away"
    drawn, shift = portrait(sign, side=160), seed % 7
    return drawn.crop((shift, shift//2, 160 - shift, 160 - shift))

OWN = dict(V='B', B='L', L='V') # somebody's own signs: what is drawn as the first means the second

@pytest.fixture(scope='module')
def reader(): return SignReader(hands=False)

@pytest.fixture(scope='module')
def taught(reader):
    "Who makes a V for B, a B for L, and an L for V"
    pairs = [(picture(drawn, seed), sign) for seed in range(3) for drawn, sign in OWN.items()]
    return reader.taught(pairs, progress=False)

NEW = [picture(drawn, 5) for drawn in OWN]
MEANT = [*OWN.values()]

def best(reader, *pictures): return [one.best for one in reader.read_many(pictures, progress=False)]


def test_a_reader_is_taught_and_the_one_before_stays_as_it_was(reader, taught):
    before = best(reader, *NEW)
    assert before == [*OWN] and best(taught, *NEW) == MEANT and best(reader, *NEW) == before and reader.teaching is None
    assert taught.teaching.changed and (taught.teaching.before, taught.teaching.after) == (0, 1)


def test_mirrored_pictures_are_read_by_what_was_taught(reader, taught):
    before, after = (best(one, *map(ImageOps.mirror, NEW)) for one in (reader, taught))
    meant = [OWN.get(sign, sign) for sign in before] # in a mirror, one of the drawings may be read as another sign
    assert after == meant and sum(sign in OWN for sign in before) >= 2


def test_other_signs_are_read_as_before(reader, taught):
    others = [picture(sign, 3) for sign in 'ACFWY']
    before, after = (one.probabilities(others, progress=False) for one in (reader, taught))
    assert before.argmax(1).tolist() == after.argmax(1).tolist()


def test_one_by_one_and_many_together_are_the_same(taught):
    for row, one in zip(taught.probabilities(NEW, progress=False), NEW):
        assert abs(row.max() - taught.read(one).confidence) < 1e-3


def test_it_is_saved_and_brought_back_and_travels_between_processes(taught):
    taught.save('ME')
    for again in (SignReader(hands=False, person='ME'), pickle.loads(pickle.dumps(taught))):
        assert best(again, *NEW) == MEANT and again.teaching.signs == taught.teaching.signs


def test_teaching_again_adds(reader, taught):
    first = reader.taught([(picture('V', seed), 'B') for seed in range(2)], progress=False)
    more = first.taught([(picture(drawn, seed), OWN[drawn]) for seed in range(2) for drawn in 'BL'], progress=False)
    assert len(first.person) == 2 and len(more.person) == 6 and {*more.teaching.signs} == {*OWN}
    assert best(more, *NEW) == MEANT


def test_broken_pictures_are_named_and_the_others_learned(reader, tmp_path):
    (tmp_path/'broken.jpg').write_bytes(b'no picture')
    pairs = [(picture(sign, seed), sign) for sign in 'BL' for seed in range(2)]
    said = reader.taught([*pairs, (tmp_path/'broken.jpg', 'B')], progress=False).teaching
    assert said.pictures == 4 and len(said.unread) == 1 and 'broken.jpg' in said.sentences[-1]
    with pytest.raises(TeachingError, match='None of the pictures can be read.*broken.jpg'):
        reader.taught([(tmp_path/'broken.jpg', 'B')], progress=False)


@pytest.mark.parametrize('examples,said', [
    ([], 'nothing to learn from'), ([('a.jpg', 'Ä')], "'Ä' is no sign"), ([1, 2], 'are pairs'), (7, 'are pairs')])
def test_what_cannot_be_taught_is_said(reader, examples, said):
    with pytest.raises(TeachingError, match=said): reader.taught(examples)


def test_nobody_taught_can_be_saved_and_unknown_people_are_refused(reader):
    with pytest.raises(TeachingError, match='taught nothing'): reader.save('ME')
    with pytest.raises(TeachingError, match='Nothing was learned of ME'): SignReader(person='ME')


def test_of_very_many_pictures_as_many_count_as_help():
    pictures, answers = teaching.examples_in([(i, 'A') for i in range(100)] + [(1000, 'B')])
    assert len(pictures) == 31 and pictures[0] == 0 and pictures[-2] > 90 and answers[-1] == B


def test_a_bundle_without_features_is_taught_by_its_answers(reader):
    "As bundles made before there was teaching are"
    models = reader.fusion
    class Older:
        def __init__(self, network): self.network, self.size = network, getattr(network, 'size', None)
        def see(self, shown):
            log_probs, *rest = self.network.see(shown)
            return (log_probs, *rest[:-1], log_probs)
    older = replace(models, pixel_model=Older(models.pixel_model))
    log_probs, features, none = teaching.look_at(older, picture('B', 1))
    assert features.shape == (29,) and none is None and abs(np.exp(log_probs).sum() - 1) < 1e-3


def test_the_bundle_that_ships_brings_other_people_or_none(bundle):
    typical = teaching.typical_in(bundle)
    assert typical is None or {*typical.answers} == {*range(len(SIGNS))} and typical.log_probs.shape[1] == len(SIGNS)
    with pytest.raises(TeachingError, match=TYPICAL): teaching.typical_in(replace(bundle, files={TYPICAL: b'PK'}))


# the commands

@pytest.fixture
def folder(tmp_path):
    "Somebody's own signs, in folders with capitals and with small letters"
    for drawn, sign in OWN.items():
        place = tmp_path/'mine'/(sign if drawn == 'V' else sign.lower())
        place.mkdir(parents=True)
        for seed in range(3): picture(drawn, seed).save(place/f'{seed}.png')
    picture('V', 5).save(tmp_path/'new.png')
    return tmp_path/'mine'


def test_the_commands_teach_use_and_forget(folder, capsys):
    new = str(folder.parent/'new.png')
    assert cli.main(['teach', str(folder), '--no-hands', '--name', 'ME']) == 0
    said = capsys.readouterr().out
    assert 'B     3' in said and 'numbers, and no picture' in said and known_people() == ['ME']
    assert cli.main(['read', '--no-hands', '--as', 'ME', '--json', new]) == 0
    assert json.loads(capsys.readouterr().out)[0]['best'] == 'B'
    assert cli.main(['evaluate', '--no-hands', '--as', 'ME', str(folder.parent/'mine'/'B')]) == 0
    capsys.readouterr()
    assert cli.main(['forget', 'ME']) == 0 and known_people() == []
    assert cli.main(['forget', 'ME']) == 1 and 'Known are: nobody' in capsys.readouterr().err
    assert cli.main(['read', '--no-hands', '--as', 'ME', new]) == 1 and 'asl-signs teach' in capsys.readouterr().err


def test_teaching_for_programs(folder, capsys):
    assert cli.main(['teach', str(folder), '--no-hands', '--json']) == 0
    about = json.loads(capsys.readouterr().out)
    assert about['pictures'] == 9 and about['kept'] == str(person_file('me')) and about['signs']['L']['pictures'] == 3


def test_a_bad_folder_keeps_what_was_known(folder, tmp_path, capsys, kept):
    (tmp_path/'holiday').mkdir()
    for wrong in (tmp_path/'holiday', tmp_path/'nowhere', tmp_path/'new.png'):
        assert cli.main(['teach', str(wrong), '--no-hands', '--name', 'ME']) == 1
    picture('B', 1).save(tmp_path/'holiday'/'beach.png')
    assert cli.main(['teach', str(tmp_path/'holiday'), '--no-hands', '--name', 'ME']) == 1
    assert 'named after a sign' in capsys.readouterr().err and person_file('ME').exists()
    assert cli.main(['teach', str(folder), '--no-hands', '--name', '../ME']) == 1


def test_a_light_environment_is_enough(folder):
    script = f"""if True:
        import sys
        class Refuse:
            def find_spec(self, name, *_):
                if name.partition('.')[0] in ('torch', 'fastai', 'scipy', 'sklearn', 'pandas', 'platformdirs', 'tqdm'):
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, Refuse())
        from pathlib import Path
        from asl_signs import SignReader
        pairs = [(file, file.parent.name.upper()) for file in sorted(Path({str(folder)!r}).rglob('*.png'))]
        taught = SignReader(hands=False).taught(pairs)
        taught.save('ME')
        print(SignReader(hands=False, person='ME').read({str(folder.parent/'new.png')!r}).best)"""
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.stdout.split() == ['B'], done.stderr
