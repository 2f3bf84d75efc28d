"""Laws of the second look at boxes, which hold for any verifier."""

import numpy as np

from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.inference.onnx import OnnxVerifier
from vipnas_cli.inference.people import PLACE_TRUST, verify_boxes
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.pose import mirrored_places
from vipnas_cli.pose.boxes import decode_deltas

BOXES = np.array([[20, 10, 60, 90], [70, 40, 110, 80]], np.float32)


class Onesided:
    """Says what the left and the upper half of a crop look like: as one-sided as a verifier can be."""

    height, width, threshold = 32, 24, 0.4

    def __init__(self) -> None:
        self.shown = 0

    def verify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shown += len(crops)
        left, upper = crops[:, :, :12].mean((1, 2, 3)) / 255, crops[:, :16].mean((1, 2, 3)) / 255
        places = np.stack([0.5 * left, 0.3 * upper, 1 - 0.2 * left, 1 + upper], 1)
        return left.astype(np.float32), places.astype(np.float32)


def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (100, 128, 3), dtype=np.uint8)


def test_a_mirror_image_has_the_mirrored_people() -> None:
    image, verifier = noise(), Onesided()
    mirrored = np.stack([128 - BOXES[:, 2], BOXES[:, 1], 128 - BOXES[:, 0], BOXES[:, 3]], 1)
    scores, boxes, _ = verify_boxes(verifier, image, BOXES)
    other_scores, others, _ = verify_boxes(verifier, np.ascontiguousarray(image[:, ::-1]), mirrored)
    np.testing.assert_allclose(other_scores, scores, atol=0.01)
    np.testing.assert_allclose(128 - others[:, [2, 0]], boxes[:, [0, 2]], atol=0.5)
    assert verifier.shown == 8


def test_boxes_together_equal_boxes_alone() -> None:
    image, verifier = noise(), Onesided()
    together = verify_boxes(verifier, image, BOXES)
    for row in range(len(BOXES)):
        alone = verify_boxes(verifier, image, BOXES[row : row + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][row])
        np.testing.assert_array_equal(alone[1][0], together[1][row])


def test_boxes_go_most_of_the_way_to_the_place_that_is_found() -> None:
    class Left(Onesided):
        def verify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.ones(len(crops), np.float32), np.tile(np.array([0.2, 0.1, 0.8, 1.1], np.float32), (len(crops), 1))

    _, boxes, _ = verify_boxes(Left(), noise(), BOXES[:1])
    np.testing.assert_allclose(boxes - BOXES[:1], PLACE_TRUST * np.array([[8, 8, -8, 8]]), rtol=1e-5)


def test_places_mirrored_twice_and_the_place_of_the_box_itself_are_as_they_were() -> None:
    places = np.array([[-0.2, 0.1, 1.4, 0.8], [0, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(mirrored_places(mirrored_places(places)), places, atol=1e-6)
    np.testing.assert_array_equal(decode_deltas(BOXES, places[[1, 1]], 128, 100), BOXES)


def test_no_boxes_are_not_looked_at() -> None:
    verifier = Onesided()
    scores, boxes, crops = verify_boxes(verifier, noise(), BOXES[:0])
    assert crops == 0
    assert (scores.shape, boxes.shape, verifier.shown) == ((0,), (0, 4), 0)


def test_what_cannot_be_believed_is_not_seen_in_the_mirror() -> None:
    verifier = Onesided()
    both, places, _ = verify_boxes(verifier, noise(), BOXES)
    shown = verifier.shown
    scores, boxes, crops = verify_boxes(verifier, noise(), BOXES, np.array([0.0, 1.0], np.float32))
    assert verifier.shown - shown == crops == 3
    np.testing.assert_array_equal(scores[0], both[0])
    np.testing.assert_array_equal(boxes, [places[0], BOXES[1]])


def test_crops_of_a_crowd_are_verified_as_they_are_alone() -> None:
    detector = open_bundle(bundled_weights()).detector
    assert detector is not None
    assert detector.verifier is not None
    verifier = OnnxVerifier(detector.verifier, RuntimeOptions(1))
    crops = np.random.default_rng(4).integers(0, 256, (9, verifier.height, verifier.width, 3), np.uint8)
    scores, places = verifier.verify(crops)
    alone = [verifier.verify(crops[index : index + 1]) for index in range(9)]
    np.testing.assert_allclose(scores, np.concatenate([one[0] for one in alone]), atol=1e-6)
    np.testing.assert_allclose(places, np.concatenate([one[1] for one in alone]), atol=1e-5)
    assert verifier.verify(crops[:0])[1].shape == (0, 4)
