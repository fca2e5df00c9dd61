"""Upload presets to the Hugging Face Hub."""

from keras_staa import checks, presets
from keras_staa.presets import hub

README = "README.md"
TAGS = ["keras", "keras-staa", "spiking-neural-network", "neuromorphic"]
# Data sets under the names that they have on the Hub.
DATA_SETS = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100"}
# Licenses that the Hub knows, in small letters as it writes them.
LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0"}
USE = """
## Use it

```python
import keras_staa  # pip install keras-staa huggingface_hub

model = keras_staa.zoo.load("{address}")
```
"""


def push(name_or_folder, address, *, private=None, dry_run=False):
    """Upload a preset to the Hugging Face Hub, where `load` finds it.

    The repository is made if there is none. It gets the files of the preset and a `README.md`, its
    model card, with the accuracy in the form in which the Hub shows it. All files come in one
    commit. The token is that of `huggingface_hub`: `HF_TOKEN`, or its command `hf auth login`.

    Args:
        name_or_folder: what `load` takes.
        address: `"hf://owner/repository"`, or with `@branch` at its end.
        private: boolean, whether a new repository is private. Default: as the owner has set.
        dry_run: if True, nothing is uploaded and no connection is made.

    Returns:
        A dictionary of the files in the commit: name and content, as bytes.

    Raises:
        ValueError: if the address is none, or the preset is not whole.
        OSError: if the Hub cannot be reached or refuses.
        ImportError: if `huggingface_hub` is not installed.

    Example:

    ```python
    keras_staa.zoo.push("cats", "hf://me/cats")
    keras_staa.zoo.load("hf://me/cats")
    ```
    """
    repository, branch = hub.parse(address)
    checks.boolean("dry_run", dry_run)
    library = hub.library()
    preset = presets.open_preset(name_or_folder)
    preset.weights()
    paths = [preset.folder / name for name in presets.FILES if (preset.folder / name).is_file()]
    files = {path.name: path.read_bytes() for path in paths}
    files[README] = model_card(preset, f"{hub.START}{repository}").encode()
    if dry_run:
        return files
    client = library.HfApi(library_name="keras-staa")
    add = library.CommitOperationAdd
    try:
        client.create_repo(repository, private=private, exist_ok=True)
        client.create_commit(
            repository,
            [add(name, content) for name, content in files.items()],
            commit_message=f"Preset {preset.name}",
            revision=branch,
        )
    except (library.errors.HfHubHTTPError, OSError) as error:
        raise OSError(f"{address} did not take the preset: {error}") from error
    return files


def model_card(preset, address):
    """Return the model card of a preset, in the form of the Hub.

    Args:
        preset: what `keras_staa.presets.open_preset` gave.
        address: `hf://owner/repository`, for the example in it.

    Returns:
        Markdown with a YAML header.
    """
    library = hub.library()
    results = None
    if preset.accuracy:
        results = [
            library.EvalResult(
                task_type="image-classification",
                task_name="Image classification",
                dataset_type=DATA_SETS.get(preset.data_set, preset.data_set),
                dataset_name=preset.data_set,
                dataset_split=preset.accuracy.split,
                metric_type="accuracy",
                metric_value=preset.accuracy.value,
            )
        ]
    licence = preset.licence.lower()
    known = licence in LICENSES
    data = library.ModelCardData(
        license=licence if known else "other",
        license_name=None if known else preset.licence,
        library_name="keras",
        pipeline_tag="image-classification",
        tags=TAGS,
        datasets=[DATA_SETS[preset.data_set]] if preset.data_set in DATA_SETS else None,
        metrics=["accuracy"] if results else None,
        model_name=preset.name,
        eval_results=results,
        ignore_metadata_errors=False,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{preset.card().strip()}\n{USE.format(address=address)}"
