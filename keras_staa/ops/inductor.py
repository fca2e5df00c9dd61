"""PyTorch's compiler for one function at a time."""

import importlib.metadata
import importlib.util
import pathlib
import sys


def compiled(function):
    """Return a function of tensors that PyTorch's inductor compiles, once for each signature.

    `torch.compile` follows the Python code and gives up on a function that meets more than a few
    shapes, as one that equal layers share does; here the operations of one call are recorded. On
    a CPU a C++ compiler must be installed, on a GPU Triton.

    Args:
        function: a function of tensors in nested tuples that returns such. Its Python code must
            not depend on the tensors' values.

    Returns:
        A function of the same arguments and results, without gradients.
    """
    import torch
    from torch.utils import _pytree as pytree

    programs = {}

    def record(tensors, structure):
        from torch.fx.experimental.proxy_tensor import make_fx

        found = []

        def flat(*tensors):
            outputs, form = pytree.tree_flatten(
                function(*pytree.tree_unflatten(tensors, structure))
            )
            found[:] = [form]
            return tuple(outputs)

        # Before dispatch a reshape stays one. Later it is a view if these strides allow it, which
        # the compiler may count differently.
        graph = make_fx(flat, pre_dispatch=True)(*tensors)
        return torch._inductor.compile(graph, tensors), found[0]

    @torch.no_grad()
    def call(*arguments):
        tensors, structure = pytree.tree_flatten(arguments)
        tensors = [tensor.detach() for tensor in tensors]
        signature = (
            str(structure),
            *((t.dtype, t.device, tuple(t.shape), t.stride()) for t in tensors),
        )
        if signature not in programs:
            programs[signature] = record(tensors, structure)
        program, form = programs[signature]
        return pytree.tree_unflatten(list(program(*tensors)), form)

    return call


def require_compiler():
    """Fail where `compiled` would, and where Triton would end Python.

    Raises:
        RuntimeError: if there is neither a GPU nor a C++ compiler, or if there is a GPU and
            TensorFlow does not let Triton be imported any more.
    """
    import torch
    from torch._inductor import cpp_builder, exc

    if torch.cuda.is_available():
        import_triton()
        return
    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise RuntimeError(
            "Compiling for a CPU with PyTorch needs a C++ compiler, and none was found: install "
            "g++ or clang++, or name one in the environment variable CXX."
        ) from error


def import_triton():
    """Import Triton, which TensorFlow may follow but not always precede.

    Raises:
        RuntimeError: if TensorFlow was imported before, and gives all its symbols to every library
            that comes later: Triton from 3.7 on then ends Python.

    Source: https://github.com/tensorflow/tensorflow/issues/124205
    """
    if "triton" in sys.modules or importlib.util.find_spec("triton") is None:
        return
    version = importlib.metadata.version("triton")
    late = tuple(int(part) for part in version.split(".")[:2]) >= (3, 7)
    tensorflow = sys.modules.get("tensorflow")
    if late and tensorflow is not None:
        folder = pathlib.Path(tensorflow.__file__).parent
        if (folder / "python" / "pywrap_dlopen_global_flags.py").is_file():
            raise RuntimeError(
                f"TensorFlow {tensorflow.__version__} was imported before Triton {version}, which "
                "then ends Python when it is imported. Write `import triton` before the other "
                "imports of the program, or call `jit_compile` before data is read."
            )
    importlib.import_module("triton")
