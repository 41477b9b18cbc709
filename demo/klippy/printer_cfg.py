"""The configuration that the stand-in claims to have: the recordings' printer.cfg, as `configfile` shows it."""

from __future__ import annotations

from demo.klippy.options import Options

_CLIENT_MACROS = """
[gcode_macro _CLIENT_VARIABLE]
variable_retract: 1.0
variable_z_hop: 2.0
variable_park_x: 0.0
variable_park_y: 190.0
gcode:

[gcode_macro PAUSE]
rename_existing: PAUSE_BASE
variable_extruder_temp: 0
gcode:
  {% set c = printer["gcode_macro _CLIENT_VARIABLE"] %}
  {% set max_z = printer.toolhead.axis_maximum.z %}
  {% set z = printer.toolhead.position.z %}
  {% set lift = [c.z_hop, max_z - z]|min %}
  SET_GCODE_VARIABLE MACRO=PAUSE VARIABLE=extruder_temp VALUE={printer.extruder.target}
  PAUSE_BASE
  {% if printer.extruder.can_extrude %}
  M83
  G1 E-{c.retract} F2100
  {% endif %}
  {% if "xyz" in printer.toolhead.homed_axes %}
  G91
  G1 Z{lift} F600
  G90
  G1 X{c.park_x} Y{c.park_y} F6000
  {% endif %}

[gcode_macro RESUME]
rename_existing: RESUME_BASE
gcode:
  {% set c = printer["gcode_macro _CLIENT_VARIABLE"] %}
  {% if printer.extruder.can_extrude %}
  M83
  G1 E{c.retract} F2100
  {% endif %}
  RESUME_BASE {rawparams}

[gcode_macro CANCEL_PRINT]
rename_existing: CANCEL_PRINT_BASE
gcode:
  TURN_OFF_HEATERS
  M106 S0
  {% if printer.extruder.can_extrude %}
  M83
  G1 E-2 F2100
  {% endif %}
  CANCEL_PRINT_BASE
"""

_PLAIN_MACROS = """
[gcode_macro _MARK]
gcode:
"""

_PRINTER = """
[mcu]
serial: /dev/stand-in

[printer]
kinematics: cartesian
max_velocity: 200
max_accel: 2000
max_z_velocity: 20
max_z_accel: 100

[stepper_x]
position_endstop: 0
position_min: 0
position_max: 200
homing_speed: 40

[stepper_y]
position_endstop: 0
position_min: 0
position_max: 200
homing_speed: 40

[stepper_z]
position_endstop: 0
position_min: 0
position_max: 180
homing_speed: 10

[extruder]
nozzle_diameter: 0.4
filament_diameter: 1.75
control: pid
min_temp: -20
max_temp: 280
min_extrude_temp: 170
max_extrude_only_distance: 100

[heater_bed]
control: watermark
max_delta: 1.0
min_temp: -20
max_temp: 130

[temperature_sensor chamber]
min_temp: -20
max_temp: 80

[fan]
pin: gpio18

[filament_switch_sensor runout]
switch_pin: ^gpio20
pause_on_runout: True

[force_move]
enable_force_move: True

[virtual_sdcard]
path: @GCODES@
@ON_ERROR@
[pause_resume]

[display_status]

[respond]

[exclude_object]

[idle_timeout]
timeout: @IDLE@

[gcode_macro TIMELAPSE_TAKE_FRAME]
gcode:
  RESPOND TYPE=command MSG="action:timelapse frame"

[gcode_macro PRINT_START]
gcode:
  {% set bed = params.BED|default(60)|float %}
  {% set ext = params.EXTRUDER|default(200)|float %}
  M140 S{bed}
  M104 S{ext}
  G90
  G28
  G1 Z5 F600
  M190 S{bed}
  M109 S{ext}

[gcode_macro PRINT_END]
gcode:
  M104 S0
  M140 S0
  M106 S0
  G91
  G1 E-2 F1800
  G1 Z2 F600
  G90
  M84
"""

# Defaults that the real `settings` adds to what the file says, as far as clients look at them.
_DEFAULTS: dict[str, dict[str, object]] = {
    "extruder": {"max_power": 1.0, "smooth_time": 1.0, "max_extrude_cross_section": 0.6400000000000001},
    "heater_bed": {"min_extrude_temp": 170.0, "max_power": 1.0, "smooth_time": 1.0},
    "printer": {"minimum_cruise_ratio": 0.5, "square_corner_velocity": 5.0},
    "pause_resume": {"recover_velocity": 50.0},
    "fan": {"max_power": 1.0, "off_below": 0.0},
    "idle_timeout": {"gcode": "\n{% if 'heaters' in printer %}\n   TURN_OFF_HEATERS\n{% endif %}\nM84\n"},
    "filament_switch_sensor runout": {"pause_delay": 0.5, "event_delay": 3.0, "runout_gcode": ""},
    "virtual_sdcard": {"on_error_gcode": "\n{% if 'heaters' in printer %}\n   TURN_OFF_HEATERS\n{% endif %}\n"},
    "respond": {"default_type": "echo", "default_prefix": "echo:"},
}


def _parse(text: str) -> dict[str, dict[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line.startswith(" "):
            section[key] += "\n" + line.strip()
        elif line:
            key, _, value = line.partition(":")
            section[key] = value.strip()
    return sections


def _typed(value: str) -> object:
    if value in ("True", "False"):
        return value == "True"
    try:
        return float(value)
    except ValueError:
        return value


def configfile_status(options: Options) -> dict[str, object]:
    """The `configfile` object."""
    text = (_CLIENT_MACROS if options.client_macros else _PLAIN_MACROS) + _PRINTER
    text = text.replace("@GCODES@", str(options.gcodes)).replace("@IDLE@", f"{options.idle_timeout:g}")
    text = text.replace("@ON_ERROR@", "on_error_gcode: CANCEL_PRINT\n" if options.cancel_on_error else "")
    config = _parse(text)
    settings: dict[str, dict[str, object]] = {}
    for name, section in config.items():
        is_macro = name.startswith("gcode_macro ")
        values: dict[str, object] = {key: value if is_macro else _typed(value) for key, value in section.items()}
        settings[name.lower()] = {**_DEFAULTS.get(name, {}), **values}
    return {
        "config": config,
        "warnings": [],
        "save_config_pending": False,
        "save_config_pending_items": {},
        "settings": settings,
    }
