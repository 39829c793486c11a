"""Where each number in the prose of a notebook comes from

A phrase of the notebook, as `prose.plain` writes it, stands before what its numbers are: a list of what results/ and
the library have, in the same order and in the unit that is quoted, or a string in the place of a number that was not
measured. A string alone is the reason for a phrase without any measured number. A phrase is as long as it has to be to
fit nowhere else; what is listed for one notebook does not count for another."""
import json, math, re
from pathlib import Path
import numpy as np
from asl_signs.metrics.heatmaps import heat_at_edge
from asl_signs.datasets.kaggle import DATASETS
from asl_signs.core.pictures import MOST_PIXELS
from asl_signs.core.signs import SIGNS

RESULTS = Path(__file__).resolve().parent.parent/'results'
PLACE, SETTING, KNOWN_FACT = 'a place or a version', 'a setting', 'known from elsewhere'
SUM, EXAMPLE = 'simple arithmetic', 'an example, or a part of one'


def kept(name): return json.loads((RESULTS/f'{name}.json').read_text())


def shown(part, words):
    "The number behind some words in the saved outputs of a part; nan if there is none"
    file = next((RESULTS.parent/'nbs').glob(f'*/[0-9][0-9]_{part}.ipynb'))
    cells = json.loads(file.read_text(encoding='utf-8'))['cells']
    outputs = [''.join(output.get('text', output.get('data', {}).get('text/plain', ''))) for cell in cells
               for output in cell.get('outputs', [])]
    found = re.search(rf'(?<!\w){re.escape(words)} ([\d.]+)', re.sub(r'\s+', ' ', ' | '.join(outputs)))
    return float(found[1]) if found else math.nan


# One number, in percent where it is a share

def points(accuracy): return 100*accuracy['value']


def original(name): return kept('1-original')['accuracies'][name]


def scored(run): return kept(run)['accuracies']['second test set']


def bounds(interval): return [100*bound for bound in interval]


def share(accuracy): return [points(accuracy), accuracy['pictures']]


def split(kept_frames, which='accuracy'):
    return next(100*run[which] for run in kept('film/splits')['runs'] if kept_frames in run['kept'])


def likeness(distance):
    return next(row['50'] for row in kept('film/likeness')['likeness'] if row['distance'] == distance)


def nearest(gap): return next(row['median'] for row in kept('film/likeness')['nearest'] if row['gap'] == gap)


def gained(first, second):
    return [points(scored(second)) - points(scored(first)),
            *next(pair['interval'] for pair in PAIRS if (pair['first'], pair['second']) == (first, second))]


def heat(kind, report, accuracy):
    "The mean share of heat at the edge, over pictures read rightly and wrongly"
    rightly, wrongly = (report['heat_at_edge'][kind][side] for side in ('read rightly', 'read wrongly'))
    return 100*(accuracy['value']*rightly + (1 - accuracy['value'])*wrongly)


def too_sure(report):
    "By how many points confidence is above accuracy, on average"
    return 100*sum(bin['pictures']*(bin['confidence'] - bin['accuracy'])
                   for bin in report['calibration'])/report['pictures']


def said(report, signs): return sum(row.get(sign, 0) for row in report['read_as'].values() for sign in signs)


ORIGINAL, PAIRS = kept('1-original'), kept('evaluation/pairs')['pairs']
RANDOM, FILM = kept('evaluation/2-original-random'), kept('evaluation/3-original-film')
FAVOURITES = 'W', 'L', 'Y', 'N', 'space', 'Q'
APP = {row['reader']: row for row in kept('inference/app')['measured']}
STRANGERS = kept('people/strangers')['people']['with MediaPipe']
FEEDBACK = kept('inference/feedback')
AUGMENTATION = kept('reader/augmentation')['milliseconds for 64 pictures']
PHOTOGRAPHS = original('second test set')
TWINS = kept('film/twins')['twins']
FRAMES = ORIGINAL['data']['train']
HANDS, DETECTION = kept('hands/film'), kept('hands/detection')
HELD = kept('2-original-random')['accuracies']['validation, random frames']
LEFT = kept('3-original-film')['accuracies']['validation, held-out film']


SERIES = [FRAMES, points(original('validation, random frames')), 28, points(original('small test set'))*28/100,
          points(PHOTOGRAPHS)]

KNOWN = {
'index': {
    'In 2021, a network': KNOWN_FACT, '(20 January 2021)': KNOWN_FACT,
    '87,000 frames. It read 99.99 % of the frames held out, and then 61.95 %': [
        FRAMES, SERIES[1], points(PHOTOGRAPHS)],
    'for publishing the 61.95 %': [points(PHOTOGRAPHS)],
    '(Python 3.11 or newer)': PLACE, '[Apache License 2.0]': PLACE, 'under GPL-2.0': PLACE},
'00_data': {
    'In a post of 2021': KNOWN_FACT,
    '87,000 frames in all. It read 99.99 % of the other fifth, then 28 of 28 test pictures, and then 61.95 %': SERIES,
    '26 letters': KNOWN_FACT, '(20 January 2021)': KNOWN_FACT,
    '3,000 frames for each of 29 signs | 87,000, and 28 small test pictures': [
        FRAMES/29, len(SIGNS), FRAMES, ORIGINAL['data']['small_test']],
    '30 photographs for each sign | 870, every one of them': [PHOTOGRAPHS['pictures']/29, PHOTOGRAPHS['pictures']],
    'about 1 GB': [sum(packed for packed, _ in DATASETS.values())],
    'guessing reads one picture in 29, or 3.4 %': [len(SIGNS), 100/len(SIGNS)],
    '(its size was 200, and its batches had 64 pictures)': [ORIGINAL['settings'][name] for name in ('size', 'bs')],
    'the network has 29 outputs': [len(SIGNS)],
    '(resnet18, 200 pixels, batches of 64, seed 42)': [ORIGINAL['settings'][name] for name in ('size', 'bs', 'seed')],
    'Its 1,087 steps took 5 minutes and 25 seconds': [
        ORIGINAL['epoch']['steps'], *divmod(ORIGINAL['epoch']['seconds'], 60)],
    '1 is the same picture, and 0 are two that have nothing in common': KNOWN_FACT,
    'the band holds the middle 80 % of pairs': SETTING,
    'the median is 0.94. Even 150 frames apart, it is still at 0.61': [likeness(5), SETTING, likeness(150)],
    'with cuts at frames 1,000, 2,000 and 2,500': KNOWN_FACT,
    'here 8,400 frames at 96 pixels, of 28 signs': [
        kept('3-original-film')['data']['train'], kept('3-original-film')['settings']['size'], len(FILM['per_sign'])],
    'exercise 2 leaves it out': PLACE,
    'How many of the 28 have a correlation of at least 0.9': [len(TWINS), SETTING],
    '(frames 2,001 to 2,500)': KNOWN_FACT},
'01_training': {
    '20 January 2021) needed': KNOWN_FACT,
    'and read 99.99 % of the frames': [points(original('validation, random frames'))],
    'the 1.3 million photographs of ImageNet': KNOWN_FACT, 'which tell 1,000 kinds of things apart': KNOWN_FACT,
    'put new ones there for 29 signs': [len(SIGNS)], '18 layers, small for its kind': KNOWN_FACT,
    'The post chose 0.01': [ORIGINAL['settings']['lr']],
    '1. The backbone is *frozen*': PLACE, '2. Everything learns': PLACE,
    'The post got 99.99 % here': [points(original('validation, random frames'))],
    'with EfficientNet-Lite0 at 96 pixels': [kept('3-original-film')['settings']['size']],
    '| random frames, as in the original | 87.50 % of 1,680 |': share(HELD),
    '| the third take | 45.30 % of 1,415 |': share(LEFT),
    'read 92.9 % and 7.1 % of these frames': [split('random'), split('2001 to 2500')],
    '1. Let a webcam': PLACE, '2. Take the first five': PLACE, '3. Make a folder': PLACE,
    '1. **Predict': PLACE, '2. **Change': PLACE, '3. **Break': PLACE, '4. **Read': PLACE, '5. **Open': PLACE,
    '99.99 % were frames': [points(original('validation, random frames'))]},
'02_evaluation': {
    'on 28 test pictures that came with the film': [ORIGINAL['data']['small_test']],
    'a probability for each of the 29 signs': [len(SIGNS)],
    '## All 28 of them': [ORIGINAL['data']['small_test']], 'takes nothing but the 29 signs': [len(SIGNS)],
    'The post read 28 of 28, after 99.99 % in validation': [28, 28, SERIES[1]],
    'both pictures to 32 by 32 grey pixels': SETTING, '1 means the same picture, 0 nothing in common': KNOWN_FACT,
    '26 of 28 are above 0.9': [sum(one['correlation'] > .9 for one in TWINS), len(TWINS), SETTING],
    'So 99.99 % is right for frames': [SERIES[1]],
    'took 30 photographs of each sign himself': [PHOTOGRAPHS['pictures']/29],
    'His archive has 870 of them': [PHOTOGRAPHS['pictures']],
    "would make 1,740 pictures' worth of evidence out of 870": [2*PHOTOGRAPHS['pictures'], PHOTOGRAPHS['pictures']],
    'The post fell from 99.99 % to 539 of 870, or 61.95 %': [
        SERIES[1], sum(PHOTOGRAPHS['right'].values()), *share(PHOTOGRAPHS)[::-1]],
    "Of the post's three numbers, the 61.95 %": [points(PHOTOGRAPHS)],
    '| random frames | 87.50 % of 1,680 | 16.43 % of 420 |': [*share(HELD), *share(scored('2-original-random'))],
    '| the third take | 45.30 % of 1,415 | 16.19 % of 420 |': [*share(LEFT), *share(scored('3-original-film'))],
    'do not compare the 16 % with its 62 %': [points(scored('3-original-film')), points(PHOTOGRAPHS)],
    'Held-out film (45 %)': [points(LEFT)], 'than random frames (88 %)': [points(HELD)],
    'Another 870 photographs': [PHOTOGRAPHS['pictures']], 'is a *95 % interval*': SETTING,
    'middle 95 % of the results': SETTING,
    'give 10.8 to 22.2 % by scenes and 12.6 to 19.8 % by pictures': [
        *bounds(FILM['interval']), *bounds(FILM['interval_of_single_pictures'])],
    "of 30 real photographs a sign": [PHOTOGRAPHS['pictures']/29],
    'X was read 4 times out of 30 and S 7 times': [
        PHOTOGRAPHS['right']['X'], PHOTOGRAPHS['pictures']/29, PHOTOGRAPHS['right']['S']],
    'The lines are 95 % intervals': SETTING,
    'To 261 of the 420 photographs, of which there are 15 for each of 28 signs': [
        said(FILM, FAVOURITES), FILM['pictures'], FILM['per_sign']['A']['of'], len(FILM['per_sign'])],
    'with a confidence of 80 %, it reads 80 %': EXAMPLE,
    'by 46 points (third take held out) and by 48': [too_sure(FILM), too_sure(RANDOM)],
    '50 % of this heat lies at the edge': [heat('second test set', FILM, scored('3-original-film'))],
    'Heat that is spread evenly would give 51 %': [100*heat_at_edge(np.ones((1, 200, 200)))[0]],
    '1. **Predict': PLACE, '2. **Change': PLACE, '3. **Break': PLACE, '4. **Read': PLACE, '5. **Open': PLACE,
    'read 99.99 % of such twins, and 61.95 % of': [SERIES[1], points(PHOTOGRAPHS)]},
'03_robust': {
    'In the post it grew from 1,087 to 1,098': [ORIGINAL['epoch']['steps'], ORIGINAL['merged']['steps']],
    '870 photographs lie beside 87,000 frames': [PHOTOGRAPHS['pictures'], FRAMES],
    'The post got 99.94 % here': [points(ORIGINAL['merged']['validation'])],
    "as in the original's 99.99 %": [SERIES[1]],
    'each with its *95 % interval*': SETTING, 'The interval holds the middle 95 % of these accuracies': SETTING,
    'The shaded band is the 95 % interval': SETTING,
    'with EfficientNet-Lite0 at 96 pixels and five folds': [kept('6-merged')['settings']['size']],
    '| trained on, by the quick recipe | second test set | 95 % interval |': SETTING,
    '| the film alone | 21.19 % of 420 | 14.1 to 29.2 % |': [
        *share(scored('5-quick-film')), *bounds(scored('5-quick-film')['interval'])],
    '| both sets, photographs as they are, 4 % of the training | 28.81 % of 420 | 21.3 to 37.3 % |':
        [100*.8*420/(8400 + .8*420), *share(scored('6-merged')), *bounds(scored('6-merged')['interval'])],
    '| both sets, photographs repeated until they are a fifth | 34.76 % of 420 | 26.4 to 44.1 % |': [
        *share(scored('7-merged-fifth')), *bounds(scored('7-merged-fifth')['interval'])],
    '(Lesson 2 had 16.19 % for the film alone': [PLACE, points(scored('3-original-film'))],
    'merging and repeating add 13.57 points, with an interval from 6.1 to 21.7':
        gained('5-quick-film', '7-merged-fifth'),
    'Repeating the photographs adds 5.95 points (1.1 to 11.0)': gained('6-merged', '7-merged-fifth')},
'04_strangers': {
    '[25 rows] of that are kept': [len(kept('reader/ablation'))],
    'read the four (1,645 pictures)': [kept('people/ablation')['pictures']],
    'the network of the first row reads 81 % there': [
        kept('people/ablation')['rows']['no other colours behind hands']['one crop, in a mirror']['mean']],
    'had 160 batches instead of 800': [kept('people/curve')['steps'], kept('people/ablation')['steps']],
    'It rises by 1.6 points': [100*(np.mean(sorted(STRANGERS['people'].values())[3:]) - STRANGERS['mean'])],
    'For M (11 times) and S (8 times)': [times for shown, _, times in STRANGERS['mistakes'] if shown == 'N'],
    'The band is the 95 % interval': SETTING,
    'it was shown 26 *strangers*': [len(STRANGERS['people'])]},
'05_inference': {
    'at least 99 % probable': SETTING, 'all files together have less than 9 MB': SETTING,
    '49 pictures a second one after another, and 14 if all four views': [
        kept('inference/speed')[f'with hands, {views}, a second']['one_by_one'] for views in ('1 view', '4 views')],
    'resnet18 at 200 pixels': SETTING,
    'above which 95 % of the answers are right': SETTING},
'06_app': {
    'A camera takes 30 pictures a second': KNOWN_FACT, '(21 January 2021)': KNOWN_FACT,
    'After a minute 1,200 are waiting, and the page shows what happened 40 seconds ago': SUM,
    'Votes of 0.7 seconds count': SETTING, 'once it has won for 0.2 seconds': SETTING,
    'the app showed 23 readings a second with MediaPipe, half of them less than 194 milliseconds old, and 30 without':
        [APP['hands']['readings_per_second'][0], APP['hands']['age_ms']['median'],
         APP['no hands']['readings_per_second'][0]],
    'usual ` of 1, a second': SETTING, 'a letter for 1.4 seconds': SETTING,
    'How many of the 43 signs, 35 letters and 8 spaces': [
        kept('inference/spell')['with hands']['letters'], EXAMPLE, EXAMPLE],
    'Votes of 0.2 seconds': SETTING, 'With 0.7 seconds': SETTING},
'07_your_hand': {
    '30 pictures of each; 15 of the 90 are held out': EXAMPLE},
'using': {
    'the reader finds 21 points of the hand': KNOWN_FACT},
'feedback': {
    'pictures of 20 people': [FEEDBACK['people']],
    'Of 2,033 hands 8 % got a false sentence': [FEEDBACK['hands'], 100*FEEDBACK['overall']],
    '3 % of B, but 17 % of G, 19 % of I and 24 % of J': [100*FEEDBACK['false'][sign] for sign in 'BGIJ'],
    'An A shown for L gets a sentence in 99 %, a U shown for V in 88 %, an H shown for G in 60 %': [
        100*FEEDBACK['caught'][pair] for pair in ('A for L', 'U for V', 'H for G')],
    'An N shown for M gets one in 4 %': [100*FEEDBACK['caught']['N for M']]},
'augment': {
    'take 11 ms for 64 pictures of 96 pixels, this takes 4':
        [AUGMENTATION['gamma, tint, brightness, contrast and saturation']['kornia'], SETTING, SETTING,
         AUGMENTATION['gamma, tint, brightness, contrast and saturation']['ours']],
    'takes 40 ms for 64 pictures of 96 pixels, Pillow 16': [
        AUGMENTATION['JPEG']['kornia'], SETTING, SETTING, AUGMENTATION['JPEG']['ours']]},
'bench': {
    'ended 0.6 points short': [100*max(run['accuracy'] - run['ends_with']
                                       for run in kept('bench/full')['time to accuracy']['runs'])],
    'we expect 30 to 60 seconds': 'a prediction, and said to be one',
    'took the original 5 minutes and 25 seconds': divmod(ORIGINAL['epoch']['seconds'], 60)},
'rows': {
    '87,000 pictures take 2.4 GB at 96 pixels and 10.4 GB at 200': [
        FRAMES, FRAMES*96*96*3/1e9, SETTING, FRAMES*200*200*3/1e9, SETTING]},
'drawing': {
    'The straight finger ends at 2.08': EXAMPLE, "tip is back at 0.63": EXAMPLE,
    'All joints together are 21 points': KNOWN_FACT, 'by more than 20 of 255 steps': SETTING},
'film': {
    'Without a gap 0.92, and with a gap of 150 frames still 0.89': [nearest(0), SETTING, nearest(150)],
    'A random fifth promises 93 %': [split('random')], 'with a gap, gives 56 %': [split('1201 to 1800')],
    'A whole take gives between 7 and 27 %, where guessing gives 3.4 %': [
        split('2001 to 2500'), split('frames 1 to 1000'), 100/len(SIGNS)],
    'promised 93 % read 6 % of them, and the one that promised 7 % read 5 %': [
        split('random'), split('random', 'second'), split('2001 to 2500'), split('2001 to 2500', 'second')]},
'joints': {
    'The best published figure for all letters, with undetected hands counted as wrong, is 84.62 %':
        'published by others'},
'landmarks': {
    'MediaPipe calls it a left one in 20 % of the cases': [100 - 100*HANDS['right_by_mediapipe']],
    'landmark 1 is right in 84 % of the film\'s hands where MediaPipe is in 80 %':
        [SETTING, 100*HANDS['right_by_thumb'], 100*HANDS['right_by_mediapipe']],
    '| 543 frames of the film with a hand |': [DETECTION['pictures']],
    '| enlarged | 48 % |': [100*DETECTION['found']['as it is']],
    '| and with a margin of a quarter | 67 % |': [100*DETECTION['found']['a margin of a quarter']],
    '| and softened by 1 %, with a gamma of .6 | 82 % |':
        [SETTING, SETTING, 100*DETECTION['found']['the same, softened by 1 % and gamma .6']],
    '| and with thresholds of .05 | 95 % |': [SETTING, 100*DETECTION['found']['the same, thresholds .05']]},
'finder': {
    'a hand was found in 99, 98, 99 and 94 % of those with one': [100*found for found in HANDS['found_by_view']],
    'in 12 to 19 of the 300 without one, and in 38 of them':
         [min(HANDS['found_in_nothing_by_view']), max(HANDS['found_in_nothing_by_view']), HANDS['nothing'],
          HANDS['found_in_nothing_in_any_view']]},
'landmarker': {'Its 2.7 million weights': KNOWN_FACT},
'pictures': {'needs 40 GB of memory': SUM, 'takes 268 MB': [4*MOST_PIXELS/1e6], 'makes 1.0000001 out of 1': EXAMPLE},
'plots': {'how many of 30 photographs': KNOWN_FACT},
'recipe': {},
'sample': {
    'correlate] at 0.945 or more, and half of those ten apart at 0.883': [likeness(5), likeness(10)],
    'Neighbours are at 0.99. Ten frames apart it is 0.71': [shown('sample', '1:'), shown('sample', '10:')],
    'reads 99.6 % of frames that were drawn at random': [100*shown('sample', 'a fifth of the frames, at random')],
    'Of the photographs it reads 13.4 %, where guessing would read 3.4 %': [
        100*shown('sample', 'the second test set'), 100/len(SIGNS)]},
 'figures': {'holds the middle 80 % of pairs': SETTING, 'with its 95 % interval': SETTING},
'report': {'take the middle 95 % of the accuracies': SETTING},
'speller': {'On its way up, 0.4 does not suffice': EXAMPLE},
'page': {}}
