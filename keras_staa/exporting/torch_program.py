"""PyTorch's ExportedProgram: `torch.export.load`, AOTInductor, ExecuTorch."""

SUFFIX = ".pt2"
BACKENDS = ("torch",)
PACKAGES = {"torch": ()}
DTYPES = ("float32",)


def write(model, path, dtype, samples):
    import torch

    model.eval()
    free = {0: torch.export.Dim("batch")}
    model.export(path, format="torch", verbose=False, dynamic_shapes=free)


def runner(path):
    import torch

    program = torch.export.load(path).module()

    def run(x):
        with torch.no_grad():
            return program(torch.from_numpy(x)).numpy()

    return run
