"""Simulated devices: one module each, and one row here, imported only when a scenario names it."""

DEVICES: dict[str, str] = {
    "bme280": "firmware_sim.devices.bme280:Bme280Section",
    "scd4x": "firmware_sim.devices.scd4x:Scd4xSection",
    "sds011": "firmware_sim.devices.sds011:Sds011Section",
    "pms5003": "firmware_sim.devices.pms5003:Pms5003Section",
    "ultrasonic": "firmware_sim.devices.ultrasonic:UltrasonicSection",
    "modbus_gauge": "firmware_sim.devices.modbus_gauge:ModbusGaugeSection",
    "ds18b20": "firmware_sim.devices.ds18b20:Ds18b20Section",
    "rain_gauge": "firmware_sim.devices.rain_gauge:RainGaugeSection",
    "contact": "firmware_sim.devices.switches:ContactSection",
    "motion": "firmware_sim.devices.switches:MotionSection",
}
