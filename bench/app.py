"""How many readings a second the app gives, end to end, and how old they are: python bench/app.py

Chromium opens the app with a film in place of a camera, as the tests do: taken by the browser, sent, read, shown.
The page itself counts readings, and the time from each frame's sending to its showing. Browser and server share this
machine. Prints JSON. Wants `asl_signs[app]`, playwright, and Debian's chromium."""
import argparse, json, os, platform, statistics, sys, time
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
import numpy as np
from PIL import ImageOps
from playwright.sync_api import sync_playwright
from asl_signs.app import launch, stream_reader
from asl_signs.datasets.drawing import portrait
from asl_signs.core.pictures import to_rgb
from asl_signs.runtime.reader import pictures_below

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'tests'))
from camera import CHROMIUM, camera_arguments, write_y4m

# Runs in the page before its own scripts: when were frames sent, and when was the reading of each shown?
WATCH = r'''
window.sent = []; window.shown = []
const asked = window.fetch
window.fetch = (to, how) => {
  if (/\/stream\/\w+$|\/queue\/join/.test(to)) sent.push(performance.now())
  return asked(to, how)
}
let last
new MutationObserver(() => {
  const frame = document.querySelector('#panel [data-frame]')?.dataset.frame
  if (frame && frame != last) { last = frame; shown.push(performance.now()) }
}).observe(document, {subtree: true, childList: true, attributes: true})
'''


class Nothing:
    "A reader that takes no time: what remains is the app's own"
    def read(self, picture, colours='RGB'):
        top, box = [('A', .9), ('S', .06), ('T', .04)], (0, 0, picture.width/2, picture.height/2)
        return SimpleNamespace(sign='A', best='A', confidence=.9, top=top, box=box, ms=0.)


def shown_to_the_camera(folder, most=24):
    "480 by 360 pixels, from a folder of pictures; without one, drawn"
    if not folder:
        drawn = [portrait(sign, side=360) for sign in 'ABCHIKLOVY']
        return [ImageOps.pad(picture, (480, 360), color=(200, 200, 200)) for picture in drawn]
    files = pictures_below(folder)
    return [ImageOps.pad(to_rgb(file), (480, 360)) for file in files[::max(1, len(files)//most)][:most]]


@contextmanager
def opened(playwright, film, url, clients):
    "Pages of the app, each with the film before its camera and a reading to show"
    fake = ['--no-sandbox', *camera_arguments(film)]
    with playwright.chromium.launch(executable_path=CHROMIUM, args=fake) as browser:
        pages = [browser.new_context().new_page() for _ in range(clients)]
        for page in pages:
            page.add_init_script(WATCH)
            page.goto(url)
            page.wait_for_selector('#said[role=status]')
            page.get_by_title('grant webcam access').get_by_role('button').click()
        for page in pages: page.wait_for_selector('#panel [data-frame]')
        yield pages


def counts(pages): return [page.evaluate('shown.length') for page in pages]


def measured(reader, film, seconds, clients):
    "Readings a second of each client, and the age of a reading when it is shown"
    with redirect_stdout(sys.stderr): app = launch(reader=reader, block=False)
    try:
        with sync_playwright() as playwright, opened(playwright, film, app.local_url, clients) as pages:
            pages[0].wait_for_timeout(2000) # until everything is warm
            before, start = counts(pages), time.perf_counter()
            pages[0].wait_for_timeout(1000*seconds)
            after, took = counts(pages), time.perf_counter() - start
            times = [zip(page.evaluate('sent'), page.evaluate('shown')) for page in pages]
    finally: app.close(verbose=False)
    ages = [shown - sent for page in times for sent, shown in page]
    return dict(readings_per_second=[round((b - a)/took, 1) for a, b in zip(before, after)],
                age_ms=dict(median=round(statistics.median(ages)), p95=round(float(np.quantile(ages, .95)))))


WAYS = 'hands', 'no hands', 'nothing'


def ready(way, bundle):
    "A reader, by its name on the command line"
    return Nothing() if way == 'nothing' else stream_reader(bundle, way == 'hands')


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.add_argument('--pictures', help='a folder of photographs to be shown to the camera (drawn hands without it)')
    parser.add_argument('--bundle', help='a reader of your own')
    parser.add_argument('--readers', nargs='+', default=WAYS, choices=WAYS, help='nothing: a reader that takes no time')
    parser.add_argument('--seconds', type=int, default=20)
    parser.add_argument('--clients', type=int, nargs='+', default=[1, 3], help='how many pages at once')
    args = parser.parse_args()
    readers = {way: ready(way, args.bundle) for way in args.readers} # fails at once if something is missing
    with TemporaryDirectory() as folder:
        film = Path(folder)/'film.y4m'
        write_y4m(film, [picture for picture in shown_to_the_camera(args.pictures) for _ in range(15)], 30)
        found = [dict(reader=way, clients=clients, **measured(reader, film, args.seconds, clients))
                 for way, reader in readers.items() for clients in args.clients]
    versions = {name: version(name) for name in ('asl_signs', 'gradio', 'playwright', 'onnxruntime')}
    about = dict(pictures=args.pictures or 'drawn', cores=os.cpu_count(), date=time.strftime('%Y-%m-%d'),
                 versions={'python': platform.python_version()} | versions)
    print(json.dumps(dict(measured=found) | about, indent=1))


if __name__ == '__main__': main()
