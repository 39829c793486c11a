"""Where kornia serves and where it does not: `python bench/measure/augmentation.py [--film FILM --seeds 0 1]`

Writes into results/reader/augmentation.json how many milliseconds kornia's transforms take for 64 pictures of 96 pixels
on one thread, and ours that do the same: the least of all runs, since a busy machine adds to both. With a folder of
(part of) grassknoted/asl-alphabet it trains on 60 frames of each sign for 200 batches instead, once for each seed, and
prints how much of the held-out film is read."""
import json, time
import numpy as np
import torch
from fastai.vision.all import TensorImage, set_seed
from asl_signs.train.augment import get_kornia, hard_tfms
from asl_signs.datasets.hands import find_hands
from asl_signs.runtime.crops import look, whole_square
from asl_signs.core.pictures import to_rgb
from asl_signs.models.recipe import are_coarse, film_frames, harder_frames, take_apart
from asl_signs.metrics.report import score
from asl_signs.models.pixels import train_pixels
from asl_signs.core.signs import sign_of
from asl_signs.core.cache import as_json
from measuring import RESULTS, parser

FILE = RESULTS/'reader'/'augmentation.json'


def milliseconds(tfm, pictures):
    "Of this process, the best of fifteen; another program's time does not count"
    took = []
    for _ in range(15):
        start = time.process_time()
        tfm(pictures)
        took.append(1e3*(time.process_time() - start))
    return round(min(took), 1)


def pairs():
    "Name -> kornia's transforms, and ours; all of them change every picture"
    K, (skin, _, light, blur, _, noise, jpeg, erase) = get_kornia(), hard_tfms(96)[1:]
    for tfm in (light, noise, jpeg, erase): tfm.p = 1
    tint = K.RandomPlanckianJitter(select_from=[*range(4, 13)], p=1.)
    colours = [K.RandomGamma((.67, 1.5), p=1.), tint, K.ColorJitter((.78, 1.28), (.78, 1.28), (.55, 1.35))]
    return {'gamma, tint, brightness, contrast and saturation': (torch.nn.Sequential(*colours), skin.function),
            'the same, and light from a side': (torch.nn.Sequential(K.RandomLinearIllumination(p=1.), *colours), light),
            'JPEG': (K.RandomJPEG((15., 80.), p=1.), jpeg),
            'noise': (K.RandomGaussianNoise(0., .03, p=1.), noise),
            'erasing': (K.RandomErasing((.02, .12), p=1.), erase), 'blur': (blur.function, None)}


def measure():
    "The milliseconds, kept"
    torch.set_num_threads(1)
    set_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(64, 3, 24, 24), (96, 96), mode='bicubic').clamp(0, 1)
    known = json.loads(FILE.read_text())['milliseconds for 64 pictures'] if FILE.exists() else {}
    for name, (theirs, ours) in pairs().items():
        took = {'kornia': milliseconds(theirs, x)} | ({'ours': milliseconds(ours, TensorImage(x))} if ours else {})
        known[name] = {whose: min(ms, known.get(name, {}).get(whose, ms)) for whose, ms in took.items()}
    FILE.write_text(as_json({'milliseconds for 64 pictures': known, 'date': time.strftime('%Y-%m-%d')}))


def train(film, seed):
    "A short training, and what it reads"
    torch.set_num_threads(1)
    frames = film_frames([film], 60)
    train, held_out = take_apart(frames)
    net = train_pixels(find_hands(frames).of(train), are_coarse(train), 'tf_efficientnet_lite0', seed=seed, steps=200)
    for name, files in {'held-out film': held_out, 'made harder': harder_frames(held_out)}.items():
        logs = np.concatenate([look(net, [picture], [whole_square(picture)])[0] for picture in map(to_rgb, files)])
        accuracy = score(np.exp(logs), [*map(sign_of, files)], files, np.arange(len(files))).accuracy
        print(f'seed {seed}, {name}: {accuracy:.1%} of {len(files)}', flush=True)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument('--film', help='a folder with the film, or with its archive')
    options.add_argument('--seeds', nargs='+', type=int, default=[0], help='one training for each (default: 0)')
    args = options.parse_args(argv)
    if not args.film: return measure()
    for seed in args.seeds: train(args.film, seed)


if __name__ == '__main__': main()
