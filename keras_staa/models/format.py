"""How the arguments of a network are written in presets and configurations."""

from keras_staa.layers.staa import of_first_form, with_step_gate

# Presets and configurations of networks say by a number what their arguments mean. In those of
# format 1 step attention has its first form.
FORMAT = 2


def of_format(arguments, number):
    """Return the arguments of a network as they are written today.

    Args:
        arguments: dictionary, as a preset or a configuration of a network has it.
        number: integer, the format of that preset or configuration.
    """
    attention = arguments.get("attention", True)
    if number >= 2 or attention is False:
        return arguments
    given = attention if isinstance(attention, dict) else {}
    found = {**arguments, "attention": of_first_form(given)}
    if "step_gate" in with_step_gate(given):
        # It went before `causal`.
        found["causal"] = False
    return found
