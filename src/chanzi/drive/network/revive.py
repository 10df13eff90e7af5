"""A float ONNX file as a checkpoint that training can begin with: normalization had been folded into the weights."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chanzi.drive.network.export import spec_of
from chanzi.errors import DriveError

if TYPE_CHECKING:
    from chanzi.drive.network.batches import Batch

_NOTHING = {"loss": 0.0, "left_m": [], "speed_m_s": 0.0, "precision": 0.0, "recall": 0.0}


def revive(model: Path, batch: "Batch") -> bytes:
    """Return a checkpoint, as `train` takes it for a parent, of the network in a float ONNX file.

    Its normalization is set so that the network says on `batch` what the file's network says, whether its own or the
    batch's mean and deviation are used: training goes on from where it ended.

    Parameters
    ----------
    model : Path
        As `chanzi.drive.network.export.to_onnx` makes it.
    batch : Batch
        Some hundreds of frames.

    Raises
    ------
    DriveError
        The file holds another network.
    """
    import onnx
    import torch
    from onnx import numpy_helper
    from torch import nn

    from chanzi.drive.network.model import build

    net = build(spec_of(model))
    proto = onnx.load_model_from_string(model.read_bytes())
    weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in proto.graph.initializer}
    modules = dict(net.named_modules())
    norms: dict[nn.Module, nn.BatchNorm2d] = {}
    try:
        with torch.no_grad():
            for name, module in modules.items():
                if isinstance(module, nn.Conv2d):
                    stem, _, number = name.rpartition(".")
                    norm: Any = modules[f"{stem}.{int(number) + 1}"]
                    module.weight.copy_(weights[f"{name}.weight"])
                    norm.bias.copy_(weights[f"{name}.bias"])
                    norm.running_var.fill_(1 - norm.eps)
                    norms[module] = norm
                elif isinstance(module, nn.Linear):
                    module.weight.copy_(weights[f"{name}.weight"])
                    module.bias.copy_(weights[f"{name}.bias"])
            first: Any = next(iter(norms))
            know: Any = modules["know"]
            first.weight *= net.unit
            know.weight *= net.unit
    except (KeyError, RuntimeError) as error:
        raise DriveError(f"{model} does not hold the weights of our network: {error}") from None

    def settle(module: nn.Module, _: Any, out: torch.Tensor) -> None:
        norm = norms[module]
        var, mean = torch.var_mean(out, (0, 2, 3), correction=0)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias += mean
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)

    hooks = [module.register_forward_hook(settle) for module in norms]
    net.eval()
    with torch.no_grad():
        net(batch.images, batch.state)
    for hook in hooks:
        hook.remove()
    file = io.BytesIO()
    arrays = {f"net/{name}": value.numpy() for name, value in net.state_dict().items()}
    np.savez(file, epoch=np.int64(0), before=np.array(json.dumps(_NOTHING)), **arrays)
    return file.getvalue()
