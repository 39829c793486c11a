"""Whether MediaPipe's network says the same in PyTorch as in TensorFlow Lite

pip install ai-edge-litert, then: python bench/measure/landmarker.py     (seconds; writes results/hands/landmarker.json)
"""
import json, zipfile
from datetime import date
from importlib.metadata import version
import numpy as np
import torch
from asl_signs.datasets.drawing import portrait
from asl_signs.runtime.hand_model import hand_model
from asl_signs.models.landmarker import landmark_net
from measuring import RESULTS, parser

FILE, SIGNS = RESULTS/'hands'/'landmarker.json', 'AKVY'


def pictures(side=224):
    "Noise, a slope of grey, and drawn hands: float32 (n, 3, side, side), from 0 to 1"
    noise = np.random.default_rng(0).random((3, side, side))
    slope = np.broadcast_to(np.linspace(0, 1, side), (3, side, side))
    hands = [np.asarray(portrait(sign, side=side)).transpose(2, 0, 1)/255 for sign in SIGNS]
    return np.float32([noise, slope, *hands])


def original(pictures):
    "What TensorFlow Lite gets before the layers that decide: (n, 1152)"
    from ai_edge_litert.interpreter import Interpreter
    with zipfile.ZipFile(hand_model()) as bundle: network = bundle.read('hand_landmarks_detector.tflite')
    interpreter = Interpreter(model_content=network, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    pooled = next(tensor['index'] for tensor in interpreter.get_tensor_details()
                  if tuple(tensor['shape']) == (1, 1152) and 'ean' in tensor['name'])
    def seen(picture):
        interpreter.set_tensor(interpreter.get_input_details()[0]['index'], picture.transpose(1, 2, 0)[None])
        interpreter.invoke()
        return interpreter.get_tensor(pooled)[0]
    return np.stack([seen(picture) for picture in pictures])


def main(argv=None):
    "Ask both, and write down by how much they differ"
    parser(__doc__).parse_args(argv)
    shown = pictures()
    theirs = original(shown)
    with torch.no_grad(): ours = landmark_net()(torch.from_numpy(shown)).numpy()
    found = dict(pictures=len(shown), largest=round(float(theirs.max()), 4), difference=float(abs(ours - theirs).max()),
                 first=theirs[:, :8].round(4).tolist(), ai_edge_litert=version('ai-edge-litert'),
                 torch=torch.__version__, date=str(date.today()))
    FILE.write_text(json.dumps(found, indent=1)+'\n')
    print(found)


if __name__ == '__main__': main()
