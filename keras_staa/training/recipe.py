"""Recipes: trainings as TOML files, read, changed and checked."""

import difflib
import inspect
import pathlib
import tomllib

import keras

from keras_staa import data, losses, models, optimizers

FOLDER = pathlib.Path(__file__).parent / "recipes"
# Arguments of the readers that follow from the rest of a recipe or from the machine.
_GIVEN = {
    "source",
    "split",
    "batch_size",
    "seed",
    "shuffle",
    "one_hot",
    "drop_remainder",
    "shard",
    "data_dir",
    "cache_dir",
    "download",
    "verbose",
}
# Arguments of the factories that follow from the data and the loss.
_OF_DATA = {"input_shape", "input_tensor", "classes", "step_logits", "classifier_activation"}
_OF_DATA |= {"include_top", "pooling", "name", "weights"}
# What all stages of a training have in common.
_COMMON = {
    "data": {"reader", "source", "test", "validation"},
    "network": {"factory", "weights"},
    "training": {"seed", "policy"},
}


def list_recipes():
    """Return the names of the recipes of this library, sorted.

    Returns:
        A list of strings.

    Example:

    >>> "cifar10" in list_recipes()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(recipe, changes=()):
    """Read a recipe, with changes, and check it.

    Args:
        recipe: the name of a recipe of this library, or the path of a `.toml` file.
        changes: strings `"section.key=value"`, the value as in TOML. Quotes may be left out.

    Returns:
        The recipe, a frozen pydantic model with the sections as attributes.

    Raises:
        ValueError: if there is no such recipe, or a key, a type or a value is not allowed.

    Example:

    >>> recipe = load_recipe("cifar10", ["optimizer.learning_rate=0.05", "network.steps=2"])
    >>> recipe.optimizer.learning_rate, recipe.network.arguments()["steps"]
    (0.05, 2)
    """
    path = _find(recipe)
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a file in TOML: {error}") from error
    for change in changes:
        _apply(content, change)
    return parse(content, str(path))


def parse(content, where):
    """Check the content of a recipe.

    Args:
        content: dictionary, as TOML holds it.
        where: string, the name of the file in errors.

    Returns:
        The recipe.

    Raises:
        ValueError: for a key, a type or a value that is not allowed.
    """
    import pydantic

    from keras_staa.training import schema

    try:
        recipe = schema.Recipe.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{where}: {_explained(error, schema)}") from error
    for section, allowed in _signatures(recipe).items():
        part = getattr(recipe, section)
        for key in part.arguments():
            if key not in allowed:
                known = allowed | set(type(part).model_fields)
                raise ValueError(f"{where}: {_unknown(f'{section}.{key}', key, known)}")
    warmup = recipe.schedule.arguments().get("warmup_epochs", 0) if recipe.schedule else 0
    if not 0 <= warmup < recipe.training.epochs:
        raise ValueError(
            f"{where}: `schedule.warmup_epochs` must be less than `training.epochs`. Received: "
            f"{warmup} of {recipe.training.epochs} epochs"
        )
    stages_of(recipe, where)
    return recipe


def stages_of(recipe, where="recipe"):
    """Return the recipes of the stages of a training, in order.

    Args:
        recipe: what `load_recipe` gives.
        where: string, the name of the file in errors.

    Returns:
        A list of recipes: the recipe itself if it has no stages.

    Raises:
        ValueError: for a key, a type or a value that is not allowed in a stage.

    Example:

    >>> [stage.network.arguments()["steps"] for stage in stages_of(load_recipe("cifar10"))]
    [4]
    """
    content = recipe.model_dump(mode="json", exclude_none=True)
    changes = content.pop("stages", None)
    if not changes:
        return [recipe]
    found = []
    for number, change in enumerate(changes, start=1):
        for section, keys in change.items():
            if common := sorted(_COMMON.get(section, set()) & set(keys)):
                raise ValueError(
                    f"{where}: `{section}.{common[0]}` must be the same in all stages. Received: "
                    f"{keys[common[0]]!r} in stage {number}"
                )
        merged = dict(content)
        for section, keys in change.items():
            merged[section] = {**merged.get(section, {}), **keys}
        found.append(parse(merged, f"{where}, stage {number}"))
    return found


def dump(recipe):
    """Return a recipe as TOML."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def json_schema():
    """Return the JSON schema of recipes, as a dictionary.

    Example:

    >>> sorted(json_schema()["properties"])[:3]
    ['data', 'loss', 'network']
    """
    from keras_staa.training import schema

    return schema.Recipe.model_json_schema()


def find_class(section, name):
    """Return the class that a section names: of this library or of Keras."""
    places = {
        "loss": (losses, keras.losses),
        "optimizer": (optimizers, keras.optimizers),
        "schedule": (keras.optimizers.schedules,),
    }[section]
    kind = {
        "loss": keras.losses.Loss,
        "optimizer": keras.optimizers.Optimizer,
        "schedule": keras.optimizers.schedules.LearningRateSchedule,
    }[section]
    known = {}
    for place in reversed(places):
        found = vars(place).items()
        known |= {n: c for n, c in found if inspect.isclass(c) and issubclass(c, kind)}
    known = {n: c for n, c in known.items() if c is not kind}
    if name not in known:
        raise ValueError(_unknown(f"{section}.class_name", name, known, what="value"))
    return known[name]


def _signatures(recipe):
    """Return the keys that each section may have besides its own."""
    reader = {"images": data.images, "events": data.events}[recipe.data.reader]
    if recipe.network.factory not in models.FACTORIES:
        raise ValueError(
            _unknown("network.factory", recipe.network.factory, models.FACTORIES, what="value")
        )
    table = models.FACTORIES[recipe.network.factory].table
    allowed = {
        "data": set(inspect.signature(reader).parameters) - _GIVEN,
        "network": {argument.name for argument in table} - _OF_DATA,
    }
    for section in ("loss", "optimizer", "schedule"):
        if (named := getattr(recipe, section)) is not None:
            parameters = _parameters(find_class(section, named.class_name))
            allowed[section] = parameters - {"kwargs", "name", "learning_rate"}
            allowed[section] -= {"from_logits", "reduction", "dtype"}
    if recipe.schedule is not None:
        steps = {key for key in allowed["schedule"] if key.endswith("_steps")}
        allowed["schedule"] |= {key.removesuffix("_steps") + "_epochs" for key in steps}
    return allowed


def _parameters(kind):
    """Return the names of the arguments of a class, and those that it hands on to its base."""
    found = set()
    for each in kind.__mro__:
        own = inspect.signature(each).parameters
        found |= own.keys()
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    return found


def _find(recipe):
    if str(recipe) in list_recipes():
        return FOLDER / f"{recipe}.toml"
    path = pathlib.Path(recipe)
    if path.suffix == ".toml" and path.is_file():
        return path
    raise ValueError(
        f"`recipe` must be one of {list_recipes()} or the path of a `.toml` file. "
        f"Received: recipe={str(recipe)!r}"
    )


def _apply(content, change):
    """Make a change `section.key=value` in the content of a recipe."""
    key, equals, text = change.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise ValueError(f"A change must be `section.key=value`. Received: {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for section in sections:
        if isinstance(content, list) and section.isdigit() and int(section) < len(content):
            content = content[int(section)]
        elif isinstance(content, dict):
            content = content.setdefault(section, {})
        else:
            content = None
        if not isinstance(content, dict | list):
            raise ValueError(f"`{section}` is not a section of a recipe. Received: {change!r}")
    if not isinstance(content, dict):
        raise ValueError(f"`{key.strip()}` is not a key of a recipe. Received: {change!r}")
    content[last] = value


def _explained(error, schema):
    """Return the first error of pydantic in one sentence that names the key."""
    first = error.errors()[0]
    path = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        closed = {"training": schema.Training, "teacher": schema.Teacher}
        section = schema.Recipe if len(first["loc"]) == 1 else closed[first["loc"][0]]
        return _unknown(path, str(first["loc"][-1]), section.model_fields)
    if first["type"] == "missing":
        return f"`{path}` is missing."
    return f"`{path}`: {first['msg']}. Received: {first['input']!r}"


def _unknown(path, key, allowed, what="key"):
    names = sorted(allowed)
    lower = {name.lower(): name for name in names}
    similar = [lower[n] for n in difflib.get_close_matches(key.lower(), lower, n=1)]
    initials = [name for name in names if "".join(word[0] for word in name.split("_")) == key]
    guess = (similar or initials or [None])[0]
    hint = f" Did you mean `{guess}`?" if guess else ""
    if what == "value":
        return f"`{path}` must be one of {names}.{hint} Received: {key!r}"
    return f"`{path}` is not a key of a recipe.{hint} Allowed: {names}"
