"""`keras-staa describe`: all that is known of one network."""

HELP = "Describe a trained network."


def add_arguments(parser):
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--json", action="store_true", help="print preset.json instead of the card")


def run(args):
    import json

    from keras_staa import presets

    preset = presets.open_preset(args.model)
    if args.json:
        print(json.dumps(preset.as_dictionary(), indent=2))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(preset.card()))
