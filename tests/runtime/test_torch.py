"""Modules exported and run, and ``torch.compile(backend="chanzi")``, against PyTorch itself."""

import numpy as np
import pytest

import chanzi
from chanzi.errors import ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU6(),
        torch.nn.Conv2d(16, 16, 3, padding=1, groups=16),
        torch.nn.SiLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    ).eval()
    net[1].running_mean.uniform_(-0.5, 0.5)
    return net, torch.rand(1, 3, 16, 16)


def close(got, wanted):
    wanted = wanted.numpy()
    return np.abs(got - wanted).max() <= 0.05 * np.ptp(wanted)


def test_an_exported_module_answers_as_torch_does(network):
    net, image = network
    session = chanzi.from_torch(net, (image,), chip="chanzi-16")
    assert all(op not in ("Conv", "Gemm") for step in session.model.host_steps for op in step.ops)
    with torch.no_grad():
        assert close(session.run(None, {"input_0": image.numpy()})[0], net(image))


def test_a_compiled_module_answers_as_torch_does_and_follows_its_parameters(network):
    from chanzi.runtime.torch import dynamo_backend

    net, image = network
    compiled = torch.compile(net, backend=dynamo_backend, options={"chip": "chanzi-16"})
    with torch.no_grad():
        assert close(compiled(image).numpy(), net(image))
        net[7].bias += 1
        assert close(compiled(image).numpy(), net(image))
        net[7].bias -= 1


def test_what_torch_cannot_export_is_refused_in_one_line():
    class Printer(torch.nn.Module):
        def forward(self, x):
            return torch.tensor(float(x.sum().item() > 0)) if x.sum().item() > 0 else x.numpy()

    with pytest.raises(ModelError, match="torch cannot export"):
        chanzi.from_torch(Printer(), (torch.rand(2),))
