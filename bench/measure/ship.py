"""The bundle that comes with the library: `python bench/measure/ship.py FILM --people PERSON [PERSON …]`

Made from results/reader/kept, with the figures of results/people/strangers.json on its card if they are there: run
strangers.py afterwards, and this once more. FILM is a folder with (part of) the film, to compare both readers on. Of
the film and the people, all of whom it was trained on, it brings some features for teaching."""
import json, shutil
from asl_signs.data import get_data
from asl_signs.datasets.people import people_files
from asl_signs.models.export import export_reader, typical_examples
from asl_signs.models.recipe import load_reader, training_pictures
from asl_signs.runtime.bundle import shipped_bundle
from measuring import RESULTS, parser

WAYS = {'with MediaPipe': 'with MediaPipe', 'without': 'without MediaPipe'}
ALWAYS = [
    'Nobody Deaf was asked, and nobody for whom sign is a first language. Most pictures are of young people before '
    'webcams.',
    'J and Z are movements, of which a picture shows one moment; an upright index finger is D here.',
    'Some signs have variants (F open or pinched; M, N and T over the thumb or hanging down; G, H, P and Q from the '
    'side or from above). Those that few of the training people use are read as something else.',
    'Hands that are very small in the picture, in the dark, or beside another hand. A wrong answer can be very '
    'probable.']


def share(value):
    "As the card shows it"
    return f'{value:.1%}'


def measured(found):
    "What the card says that the bundle was measured on"
    rows = {}
    for way, words in WAYS.items():
        people, other = found['people'][way], found['danrasband'][way]
        low, high = people['interval']
        mean = f'{share(people["mean"])} ({share(low)} to {share(high)})'
        rows |= {f'{len(people["people"])} strangers, {words}, mean': mean,
                 f'the worst tenth of them, {words}': share(people['worst_tenth']),
                 f'answers given, and right among these, {words}':
                     f'{share(people["answered"])}, {share(people["right_when_answered"])}',
                 f'danrasband ({other["pictures"]} photographs of one person), {words}': share(other['mean'])}
    return rows


def failures(found):
    "Where it fails, from what was measured"
    people = found['people']['with MediaPipe']
    mistakes = ', '.join(f'{sign} as {taken}' for sign, taken, _ in people['mistakes'][:8])
    lowest = sorted(people['signs'].items(), key=lambda item: item[1])[:6]
    signs = ', '.join(f'{sign} ({accuracy:.0%})' for sign, accuracy in lowest)
    return [f'Most frequent mistakes with strangers: {mistakes}.',
            f'Signs that strangers make and it misses most: {signs}.',
            f'The person it reads worst: {people["lowest"]:.0%}.', *ALWAYS]


def main(argv=None):
    "Export the kept reader, and put it in the place of the bundle that ships"
    args = parser(__doc__)
    args.add_argument('film', help='a folder')
    args.add_argument('--people', nargs='*', default=[], help='folders or zips of the people it was trained on')
    args = args.parse_args(argv)
    files = get_data(args.film, sets=['train'], people=()).train[::97]
    typical = typical_examples(training_pictures(files, people_files(args.people)))
    bundle, reader, file = shipped_bundle(), load_reader(RESULTS/'reader'/'kept'), RESULTS/'people'/'strangers.json'
    found = json.loads(file.read_text()) if file.exists() else {}
    reader.facts['failures'] = failures(found) if found else ALWAYS
    new = bundle.with_name('shipped_new')
    print(export_reader(reader, new, files, measured=measured(found) if found else {}, typical=typical))
    if bundle.exists(): shutil.rmtree(bundle)
    new.rename(bundle)


if __name__ == '__main__': main()
