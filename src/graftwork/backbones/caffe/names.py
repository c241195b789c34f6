"""Names: of blobs and layers as modules and tensors, and of what a card has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graftwork.backbones.caffe.structure import Blob, Structure

ARCHITECTURE = "caffe"
"""The architecture of every card of such a network."""
PROTOTXT = "prototxt"
"""Among a card's ``model_args``: the text of the network."""

RESERVED = frozenset({
    "T_destination", "add_module", "append", "apply", "bfloat16", "buffers", "call_super_init", "children", "compile",
    "cpu", "cuda", "double", "dump_patches", "eval", "extend", "extra_repr", "float", "forward", "get_buffer",
    "get_extra_state", "get_parameter", "get_submodule", "half", "image_size", "insert", "ipu", "load_state_dict",
    "modules", "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters", "pop",
    "register_backward_hook", "register_buffer", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook", "register_module", "register_parameter", "register_state_dict_post_hook",
    "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule", "share_memory", "state_dict",
    "to", "to_empty", "train", "training", "trunk", "type", "xpu", "zero_grad",
})  # fmt: skip
"""What a module of PyTorch has of its own; a blob of such a name gets an underscore."""


def blob_names(structure: Structure) -> dict[str, str]:
    """Return the name of the module of each blob: the blob's own, but for dots, which part the names of modules."""
    blobs = [blob.name for blob in structure.blobs]
    return dict(zip(blobs, _distinct(blobs), strict=True))


def layer_names(blob: Blob) -> Sequence[str]:
    """Return the name of the module of each layer of a blob."""
    return _distinct(step.layer.name or step.layer.type for step in blob.steps)


def _distinct(names: Iterable[str]) -> list[str]:
    taken: set[str] = set()
    distinct = []
    for name in names:
        clean = name.replace(".", "_")
        while clean in taken or clean in RESERVED or clean.startswith("_"):
            clean = f"{clean.lstrip('_') or 'blob'}_"
            while clean in taken:
                clean += "_"
        taken.add(clean)
        distinct.append(clean)
    return distinct
