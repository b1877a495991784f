"""What attributes of FIWARE's Smart Data Models are which metric.

Source: the data models' specifications (WasteContainer, Device, DeviceMeasurement, ACMeasurement,
ThreePhaseAcMeasurement, SolarEnergy, WaterConsumptionObserved, WeatherObserved …). Where an entity tells no `unitCode`,
the unit is that of the model.
"""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Attribute → (metric, unit of the model as a symbol of `_units`); shares 0…1 stand in `SHARES`.
GAUGES: dict[str, tuple[str, str | None]] = {
    "temperature": ("temperature_c", "degC"),
    "atmosphericPressure": ("air_pressure_hpa", "hPa"),
    "windSpeed": ("wind_speed_ms", "m/s"),
    "windDirection": ("wind_direction_deg", "deg"),
    "illuminance": ("illuminance_lx", "lx"),
    "co2": ("co2_ppm", None),
    "CO2": ("co2_ppm", None),
    "pm1": ("pm1_ugm3", "ug/m3"),
    "pm25": ("pm2_5_ugm3", "ug/m3"),
    "pm2_5": ("pm2_5_ugm3", "ug/m3"),
    "PM2.5": ("pm2_5_ugm3", "ug/m3"),
    "pm10": ("pm10_ugm3", "ug/m3"),
    "PM10": ("pm10_ugm3", "ug/m3"),
    "PM1": ("pm1_ugm3", "ug/m3"),
    "precipitation": ("rain_mm", "mm"),
    "solarRadiation": ("irradiance_wm2", "W/m2"),
    "totalActivePower": ("power_w", "W"),
    "totalReactivePower": ("reactive_power_var", "var"),
    "totalApparentPower": ("apparent_power_va", "VA"),
    "totalPowerFactor": ("power_factor", "1"),
    "frequency": ("frequency_hz", "Hz"),
    "batteryVoltage": ("battery_v", "V"),
    "weight": ("weight_kg", "kg"),
    "LAeq": ("sound_level_db", "dB"),
    "soilMoisture": ("soil_moisture_pct", None),
    "waterLevel": ("water_level_mm", None),
    "externalTemperature": ("temperature_c", "degC"),
    "internalTemperature": ("temperature_c", "degC"),
}

#: Registers, from the start of metering. A generated amount without a unit is no reading: its model names none.
COUNTERS: dict[str, tuple[str, str | None]] = {
    "totalActiveEnergyImport": ("energy_kwh", "kWh"),
    "totalActiveEnergyExport": ("energy_export_kwh", "kWh"),
    "totalReactiveEnergyImport": ("reactive_energy_kvarh", "kvarh"),
    "waterConsumption": ("water_m3", "m3"),
    "totalEnergyGenerated": ("energy_export_kwh", None),
}

#: 0…1 by their models, but many send per cent.
SHARES = {
    "fillingLevel": "fill_level_pct",
    "fillLevel": "fill_level_pct",
    "relativeHumidity": "humidity_pct",
    "humidity": "humidity_pct",
    "batteryLevel": "battery_pct",
}

#: Maps of phases: (unit of the model, metric of each phase, metric of a single phase `L` or of a plain number).
PHASES: dict[str, tuple[str, dict[str, str], str]] = {
    "phaseVoltage": ("V", {f"L{n}": f"voltage_l{n}_v" for n in (1, 2, 3)}, "voltage_v"),
    "voltage": ("V", {f"L{n}": f"voltage_l{n}_v" for n in (1, 2, 3)}, "voltage_v"),
    "current": ("A", {f"L{n}": f"current_l{n}_a" for n in (1, 2, 3)}, "current_a"),
    "phaseCurrent": ("A", {f"L{n}": f"current_l{n}_a" for n in (1, 2, 3)}, "current_a"),
    "powerFactor": ("1", {}, "power_factor"),
    "activePower": ("W", {f"L{n}": f"power_l{n}_w" for n in (1, 2, 3)}, "power_w"),
}

#: Maps of phases whose sum is the whole, where the whole itself is not told: (unit, metric, attribute of the whole).
PHASE_SUMS = {
    "activePower": ("W", "power_w", "totalActivePower"),
    "reactivePower": ("var", "reactive_power_var", "totalReactivePower"),
    "apparentPower": ("VA", "apparent_power_va", "totalApparentPower"),
    "activeEnergyImport": ("kWh", "energy_kwh", "totalActiveEnergyImport"),
    "activeEnergyExport": ("kWh", "energy_export_kwh", "totalActiveEnergyExport"),
    "reactiveEnergyImport": ("kvarh", "reactive_energy_kvarh", "totalReactiveEnergyImport"),
}

#: WasteContainer.status → states it is sure of.
STATUS: dict[str, dict[str, int]] = {
    "ok": {"tilted": 0, "lid_open": 0},
    "lidOpen": {"lid_open": 1},
    "dropped": {"tilted": 1},
    "unknown": {},
}

STATES = {"isTilted": "tilted", "tilted": "tilted", "isLidOpen": "lid_open", "lidOpen": "lid_open"}

#: Device.controlledProperty → (metric, unit where none is told; None: one must be told).
CONTROLLED: dict[str, tuple[str, str | None]] = {
    "temperature": ("temperature_c", "degC"),
    "humidity": ("humidity_pct", "%"),
    "fillingLevel": ("fill_level_pct", "%"),
    "batteryLife": ("battery_pct", "%"),
    "atmosphericPressure": ("air_pressure_hpa", "hPa"),
    "windSpeed": ("wind_speed_ms", "m/s"),
    "solarRadiation": ("irradiance_wm2", "W/m2"),
    "windDirection": ("wind_direction_deg", "deg"),
    "waterFlow": ("flow_m3h", None),
    "light": ("illuminance_lx", "lx"),
    "illuminance": ("illuminance_lx", "lx"),
    "weight": ("weight_kg", "kg"),
    "soilMoisture": ("soil_moisture_pct", "%"),
    "CO2": ("co2_ppm", "ppm"),
    "PM10": ("pm10_ugm3", "ug/m3"),
    "PM2.5": ("pm2_5_ugm3", "ug/m3"),
    "PM25": ("pm2_5_ugm3", "ug/m3"),
    "voltage": ("voltage_v", "V"),
    "current": ("current_a", "A"),
    "frequency": ("frequency_hz", "Hz"),
    "waterLevel": ("water_level_mm", None),
    "power": ("power_w", "W"),
}

#: Abbreviations within Device.value ("t=21.5;h=40") → controlled property.
ABBREVIATIONS = {"t": "temperature", "h": "humidity", "l": "fillingLevel"}

#: What a device is told to be: attribute → fact.
FACTS = {
    "name": "name",
    "alternateName": "name",
    "serialNumber": "serial",
    "brandName": "maker",
    "manufacturerName": "maker",
    "modelName": "model",
    "refDeviceModel": "model",
    "refWasteContainerModel": "model",
    "refDevice": "device",
    "controlledAsset": "site",
    "refWasteContainerIsle": "site",
    "refBuilding": "site",
    "firmwareVersion": "firmware",
}

#: Understood, and no reading of the catalogue: places, owners, plans, limits, other days' amounts.
IGNORED = frozenset(FACTS) | _set(
    """
    address areaServed category color dataProvider description image location name alternateName owner seeAlso source
    relativePosition annotations features regulation responsible storedWasteCode storedWasteKind storedWasteOrigin
    actuationHours nextActuationDeadline nextCleaningDeadline dateLastEmptying dateLastCleaning dateServiceStarted
    isleId refWasteContainer RFID binId binCapacity binCategory binColor binFullnessThreshold binLoggedTime binMaxLoad
    binRecommendedLoad license_plate wardId geometry bbox
    deviceCategory controlledProperty controlledAsset ipAddress macAddress mcc mnc deviceState deviceType
    measurementType supportedProtocol configuration dstAware provider hardwareVersion
    softwareVersion osVersion dateFirstUsed dateInstalled dateLastCalibration dateManufactured direction
    tareWeight grossWeight refServiceOrderId
    dateEnergyMeteringStarted phaseType phaseToPhaseVoltage displacementPowerFactor
    totalDisplacementPowerFactor thdCurrent thdVoltage totalReactiveEnergyExport reactiveEnergyExport
    apparentEnergyImport apparentEnergyExport totalApparentEnergyImport totalApparentEnergyExport refTargetDevice
    energyGenerated maxSolarPowerMeasure dataDescriptor minFlow maxFlow persistenceFlowDuration alarmFlowPersistence
    alarmInProgress alarmStopsLeaks alarmTamper alarmWaterQuality acquisitionStageFailure moduleTampered
    dewPoint feelsLikeTemperature pressureTendency visibility weatherType snowHeight
    streamGauge uVIndexMax refPointOfInterest stationCode stationName gustSpeed typeOfLocation airQualityIndex
    """
)

#: Types that are no device: groups of others, descriptions, plans.
NO_DEVICE = frozenset(
    {"WasteContainerIsle", "WasteContainerModel", "DeviceModel", "DeviceOperation", "WasteCollection"}
)

#: Types that tell an entity of these models even without the marks of NGSI.
KNOWN_TYPES = NO_DEVICE | _set(
    """
    WasteContainer WasteObserved Device DeviceMeasurement ACMeasurement ThreePhaseAcMeasurement SolarEnergy
    WeatherObserved WaterConsumptionObserved Modbus SmartMeter SmartMeteringObservation IndoorEnvironmentObserved
    AirQualityObserved Building StorageBatteryMeasurement GreenEnergyMeasurement EnergyMonitor
    """
)
