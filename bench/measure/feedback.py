"""How often the app complains about signs that are as they should be: `python bench/measure/feedback.py PEOPLE`

PEOPLE is a folder with folders or zips of people, whose pictures carry the sign that they show. A sentence about such
a picture is a false one, of the finder's or of the limits; about a picture of another sign it is a right one. MediaPipe
looks as in the app, until one view shows a hand. The shares go to results/inference/feedback.json, and the limits in
nbs/web/02_feedback were chosen by them."""
import time
from pathlib import Path
from asl_signs.datasets.people import people_files
from asl_signs.runtime.finder import HandFinder
from asl_signs.web.feedback import feedback
from measuring import RESULTS, parser, write

FILE = RESULTS/'inference'/'feedback.json'
# Asked for, and shown: what the sentences are meant for
PAIRS = 'LA AL SA AS VU UV HU UH YI IY BE EB OC CO DF FD VW WV GH HG XD DX LD RU MN'.split()


def hands_of(people, each):
    "Sign -> hands in that many pictures of it by each person, spread over the recording"
    of = {}
    for file in people_files(people): of.setdefault((file.parent.parent.name, file.parent.name), []).append(file)
    found = {}
    with HandFinder() as finder:
        for (_, sign), files in of.items():
            places = [(2*at + 1)*len(files)//(2*each) for at in range(each)]
            found.setdefault(sign, []).extend(finder.find(files[place]) for place in places)
    return found


def share(hands, sign):
    "Of the hands that were found, how many get a sentence"
    said = [feedback(hand, sign) for hand in hands if hand]
    return round(sum(map(bool, said))/max(1, len(said)), 4)


def main(argv=None):
    "Measure, and write it down"
    args = parser(__doc__)
    args.add_argument('people', type=Path, help='a folder')
    args.add_argument('--each', type=int, default=4, help='pictures of a sign of each person (default: 4)')
    args = args.parse_args(argv)
    people = sorted(args.people.glob('*.zip')) or sorted(one for one in args.people.iterdir() if one.is_dir())
    hands = {sign: some for sign, some in hands_of(people, args.each).items() if len(sign) == 1}
    rates = {sign: share(some, sign) for sign, some in hands.items()}
    caught = {f'{shown} for {wanted}': share(hands[shown], wanted) for wanted, shown in PAIRS}
    count = sum(1 for some in hands.values() for hand in some if hand)
    overall = sum(rates[sign]*sum(map(bool, some)) for sign, some in hands.items())/count
    write(FILE, dict(people=len(people), hands=count, overall=round(overall, 4), false=rates, caught=caught,
                     date=time.strftime('%Y-%m-%d')))
    print(FILE.read_text())


if __name__ == '__main__': main()
