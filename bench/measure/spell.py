"""A sentence spelt by the whole app: `python bench/measure/spell.py FILM [--hands]`

FILM is a folder with (part of) grassknoted/asl-alphabet. Frames that were held out, eight of each sign, are shown to
Chromium in place of a camera, at the pace of somebody who spells slowly; the app reads them with the reader that
ships. The person is the one that the reader learned from, so this says that app, reader and speller work together,
and nothing about other people's hands. The text goes to results/inference/spell.json."""
import json, sys, time
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from PIL import ImageOps
from playwright.sync_api import sync_playwright
from asl_signs.app import launch, stream_reader
from asl_signs.data import get_data
from asl_signs.core.pictures import to_rgb
from asl_signs.datasets.film import film_splitter
from asl_signs.core.signs import sign_of
from measuring import RESULTS, parser
from speller import levenshtein
from camera import CHROMIUM, camera_arguments, write_y4m

FILE, TEXT = RESULTS/'inference'/'spell.json', 'THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG'
RATE, HELD = 30, 1.4 # pictures a second; seconds for a letter
CALLED = {' ': 'space'}


def on_wall(file): return ImageOps.pad(to_rgb(file).resize((300, 300)), (480, 360), color=(170, 170, 160))


def shown(frames, text):
    "What the camera sees: no hand, each letter, and no hand again"
    signs = ['nothing', *(CALLED.get(letter, letter) for letter in text), 'nothing']
    of = {sign: [on_wall(file) for file in some[::max(1, len(some)//8)][:8]]
          for sign in {*signs} for some in [[file for file in frames if sign_of(file) == sign]]}
    for sign in signs:
        number = int(RATE*HELD)
        yield from (of[sign][i*len(of[sign])//number] for i in range(number))


def spelt(reader, film, seconds):
    "The text after so many seconds before the camera"
    with redirect_stdout(sys.stderr): app = launch(reader=reader, block=False)
    try:
        how = dict(executable_path=CHROMIUM, args=['--no-sandbox', *camera_arguments(film)])
        with sync_playwright() as playwright, playwright.chromium.launch(**how) as browser:
            page = browser.new_page()
            page.goto(app.local_url)
            page.wait_for_selector('#said[role=status]')
            page.get_by_title('grant webcam access').get_by_role('button').click()
            page.wait_for_selector('#panel [data-frame]')
            page.wait_for_timeout(1000*seconds)
            return page.evaluate('document.querySelector("#text textarea").value')
    finally: app.close(verbose=False)


def main(argv=None):
    "Show the film to the app, and write down what it spells"
    args = parser(__doc__)
    args.add_argument('film', help='a folder')
    args.add_argument('--hands', action='store_true', help='look for the hand first')
    args = args.parse_args(argv)
    film = get_data(args.film, sets=['train'], people=()).train
    frames = sorted(film[i] for i in film_splitter()(film)[1])
    with TemporaryDirectory() as folder:
        write_y4m(film := Path(folder)/'film.y4m', pictures := [*shown(frames, TEXT)], RATE)
        text = spelt(stream_reader(hands=args.hands), film, len(pictures)/RATE - HELD/2)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    row = dict(shown=TEXT, spelt=text, wrong=levenshtein(text, TEXT), letters=len(TEXT), date=time.strftime('%Y-%m-%d'))
    known['with hands' if args.hands else 'whole pictures'] = row
    FILE.write_text(json.dumps(known, indent=1)+'\n')
    print(FILE.read_text())


if __name__ == '__main__': main()
