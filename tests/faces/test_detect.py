import numpy as np
import pytest
import torch
from face_alignment.detection.blazeface.net_blazeface import BlazeFace as BlazeNetwork
from face_alignment.detection.sfd.detect import batch_detect
from face_alignment.detection.sfd.net_s3fd import s3fd
from torchvision.ops import nms

from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.faces.detect import make_detector
from mien.faces.landmarks import make_predictor
from mien.faces.sfd import Sfd
from mien.faces.weights import weights_path
from tests.faces.photographs import EYES, astronaut, guises


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights_path("sfd").parent.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (lambda: make_detector(Align(detector="sfd")), "s3fd-619a316812.pth"),
        (lambda: make_detector(Align(detector="blazeface")), "blazeface.pth"),
        (lambda: make_predictor(Landmarks(model="fan"), Align()), "2DFAN4-11f355bf06.pth.tar"),
    ],
)
def test_missing_weights_say_which_file_goes_where(torch_home, make, file):
    with pytest.raises(
        MienError, match=rf"{torch_home}/hub/checkpoints/{file} is missing; fetch it with .curl .*http"
    ):
        make()


def test_dlib_finds_the_astronaut():
    faces = make_detector(Align(detector="dlib_hog")).detect([astronaut(), np.zeros((80, 80, 3), np.uint8)])
    assert len(faces[1]) == 0
    assert faces[0].scores[0] > 0.9
    assert np.linalg.norm(faces[0].five[0, :2] - EYES, axis=1).max() < 0.1 * (EYES[1, 0] - EYES[0, 0])


def test_sfd_decodes_as_face_alignment_does(torch_home):
    """Random weights that fire everywhere: the boxes of the library's loop over cells, picture by picture."""
    torch.manual_seed(0)
    torch.save(s3fd().state_dict(), weights_path("sfd"))
    detector = Sfd()
    pictures = [np.ascontiguousarray(p[:64, :96]) for p in guises(2)]
    for picture, faces in zip(pictures, detector.detect(pictures), strict=True):
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        theirs = torch.from_numpy(np.asarray(batch_detect(detector.net, batch, "cpu"))[0])
        theirs = theirs[nms(theirs[:, :4].float(), theirs[:, 4].float(), 0.3)]
        theirs = theirs[theirs[:, 4] > 0.5].numpy()
        assert len(faces) == len(theirs) > 0
        np.testing.assert_allclose(faces.boxes, theirs[:, :4], atol=1e-3)
        np.testing.assert_allclose(faces.scores, theirs[:, 4], atol=1e-5)


def test_blazeface_batches_and_keeps_its_points_in_the_picture(torch_home):
    torch.manual_seed(1)
    net = BlazeNetwork()
    for regressor in (
        net.regressor_8,
        net.regressor_16,
    ):  # boxes of a third of the picture about their anchors
        torch.nn.init.zeros_(regressor.weight)
        torch.nn.init.constant_(regressor.bias, 40.0)
    torch.save(net.state_dict(), weights_path("blazeface"))
    anchors = np.random.default_rng(0).uniform(0.2, 0.8, (896, 4)).astype(np.float32)
    anchors[:, 2:] = 1
    np.save(weights_path("blazeface_anchors"), anchors)
    detector = make_detector(Align(detector="blazeface"))
    detector.net.min_score_thresh = 0.3  # random weights are never sure
    pictures = [astronaut()[:300, :200], *guises(2)]
    together = detector.detect(pictures)
    for picture, faces in zip(pictures, together, strict=True):
        alone = detector.detect([picture])[0]
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-3)
        assert len(faces) > 0
        assert faces.five.shape == (len(faces), 5, 2)
    assert detector.detect([]) == []
