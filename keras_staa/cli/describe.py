"""`keras-staa describe`: all that is known of one network."""

HELP = "Describe a trained network."


def add_arguments(parser):
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--json", action="store_true", help="print preset.json instead of the card")


def run(args):
    import json

    from rich.console import Console
    from rich.markdown import Markdown

    from keras_staa import presets, zoo

    if args.json:
        print(json.dumps(zoo.describe(args.model), indent=2))
        return
    card = presets.find(args.model) / presets.CARD
    Console().print(Markdown(card.read_text("utf-8")))
