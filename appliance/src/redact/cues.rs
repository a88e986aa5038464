//! Words that tell what stands beside them. "MRN 4411" and `mrn=4411` are known by their cue, not by their shape.

use super::{
    class::Class,
    lexicon::{FILLER, STREET, SYSTEM, TITLE, UNIT},
};

/// What a value after this word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// A person: `patient=`, "Dr."; also without a separator when a capitalised word follows.
    Person,
    /// A person, but only after a separator: `name:`, `"family":`.
    Named,
    /// A login: any word after it but the system's own accounts.
    Login,
    /// A number, code or word of that class.
    Number(Class),
    /// A number that is nobody's: `port`, `pid`, `size`.
    Harmless,
    /// An address or a part of one.
    Address,
    /// An age in years.
    Age,
}

/// The cues. A word with `_` is also known without it and with `-`; case does not matter.
pub(super) const CUES: &[(Cue, &str)] = &[
    (
        Cue::Person,
        "patient patients pt patient_name patients_name pat_name patientname dr mr mrs ms miss prof doctor physician provider surgeon nurse
        prescriber referring_physician attending guarantor subscriber subscriber_name insured spouse mother father husband
        wife daughter son nok kin next_of_kin contact emergency_contact caregiver guardian employee physician_name
        provider_name doctor_name operator_name referring_physician_name performing_physician_name requesting_physician maiden maiden_name mothers_maiden_name",
    ),
    (
        Cue::Named,
        "name names full_name fullname first_name last_name middle_name firstname lastname fname lname mname given given_name
        family family_name surname forename first last middle display_name contact_name employer author owner
        recipient sender text line_text display signed_by",
    ),
    (Cue::Login, "user users username user_name login logname acct uname ruser luser owner_name home invalid_user"),
    (Cue::Number(Class::Mrn), "mrn mr_number medical medical_record record_no record_number patient_id patientid pat_id pid_3 chart chart_no chart_number
        medical_record_number med_rec ehr_id emr_id patient_no patient_number pubpid set_pid issuer_of_patient_id"),
    (Cue::Number(Class::Ssn), "ssn ss soc_sec social social_security social_security_number ss_number tin itin ein"),
    (
        Cue::Number(Class::Plan),
        "member member_id memberid beneficiary beneficiary_id subscriber_id insured_id policy policy_no policy_number
        group_number group_no insurance insurance_id hicn mbi medicaid_id medicare_id plan_id health_plan payer_id coverage_id certificate_no group",
    ),
    (
        Cue::Number(Class::Account),
        "account accounts account_no account_number account_id acct_no acct_number card card_number credit_card iban bban routing bank
        invoice claim_number claim_no claim_id visit_number encounter_id visit_id csn",
    ),
    (Cue::Number(Class::Licence), "npi dea license licence license_no license_number licence_no licence_number certificate certificate_number cert_no upin clia taxonomy"),
    (Cue::Number(Class::Vehicle), "vin plate plates license_plate licence_plate vehicle vehicle_id tag_number"),
    (
        Cue::Number(Class::Device),
        "serial serial_no serial_number serialno sn udi device_id deviceid device_serial imei imsi iccid meid lot lot_number implant
        mac hwaddr mac_address device_serial_number device_uid",
    ),
    (
        Cue::Number(Class::Date),
        "dob birth birthdate birth_date date_of_birth born birthday date dates admitted discharged admission discharge deceased died death
        date_of_death dod study_date exam_date visit_date appointment_date service_date dos effective_date",
    ),
    (Cue::Number(Class::Phone), "phone phones phone_number phonenumber phone_home phone_cell phone_work phone_contact tel telephone telecom mobile cell cellphone pager callback_number sms
        home_phone work_phone cell_phone mobile_phone"),
    (Cue::Number(Class::Fax), "fax fax_number faxnumber fax_no faxphone dest"),
    (
        Cue::Number(Class::Code),
        "accession accession_number accession_no accessionnumber order_number order_id specimen specimen_id sample_id token session session_id
        sessionid cookie trace trace_id span span_id request_id correlation_id message_control_id secret password api_key commid study_id",
    ),
    (Cue::Number(Class::Place), "zip zipcode zip_code postal postal_code postalcode postcode latitude longitude lat lon lng"),
    (Cue::Address, "address addresses addr_line street street_address street1 street2 city town county village precinct parish district residence address1 address2 home_address
        mailing_address birthplace birth_place"),
    (Cue::Age, "age aged"),
    (
        Cue::Harmless,
        "port ports pid uid gid euid egid auid ppid ses size sizes bytes byte count counts length len duration took elapsed status
        code line lines row rows attempt attempts retry retries retrying timeout delay interval offset limit page pages thread threads worker process
        total used free available percent errno exit score load height width level priority prio depth queue queued
        dpt spt ttl tos prec window toplevel written read wrote removed added recycled sync buffers files messages records errors
        warnings memory rss vsz usage cpu temperature rpm version build revision numopen maxfd job jobs",
    ),
];

/// Other marks.
pub(super) const FLAGS: &[(&str, u8)] = &[
    (
        "of record number numbers no num nr id ids identifier is was as value the code record key var for with use official system usual \
         holder hash was_not named called eq",
        FILLER,
    ),
    (
        "ms us ns s sec secs second seconds min mins minute minutes h hr hrs hour hours d day days week weeks month months b k m g kb mb \
         gb tb kib mib gib tib kbit mbit gbit bytes byte octets bits rows row files file records record messages message lines line pages blocks \
         times tries attempts retries errors warnings requests connections clients threads workers items entries events \
         packets segments buffers percent px hz khz mhz ghz rpm bpm dpi mmhg mg ml kg cm mm w v a c f x st nd rd th am pm users jobs tables inodes sectors pages tuples instances studies series",
        UNIT,
    ),
    (
        "root admin administrator nobody guest daemon bin sys system postgres mysql nginx apache www www-data mirth orthanc backup \
         lp mail news sync operator test service cron unknown none null anonymous sshd systemd true false yes no invalid from by the for on in at is was not with and to via user name id",
        SYSTEM,
    ),
    ("jr sr ii iii iv md do dds dmd phd rn np pa lpn esq dvm mba", TITLE),
    (
        "alley ally annex arcade ave avenue av bayou beach bend blvd bluff bluffs bottom boulevard branch bridge brook brooks \
         burg burgs bypass camp canyon cape causeway center centers cir circle circles cliff cliffs club common commons corner \
         corners course court courts cove coves creek crescent crest crossing crossroad crossroads ct curve dale dam divide dr drive \
         drives estate estates expressway extension extensions fall falls ferry field fields flat flats ford fords forest \
         forge forges fork forks fort freeway garden gardens gateway glen glens green greens grove groves harbor harbors \
         haven heights highway hill hills hollow hwy inlet island islands isle junction junctions key keys knoll knolls \
         lake lakes land landing lane light lights ln loaf lock locks lodge loop mall manor manors meadow meadows mews mill \
         mills mission motorway mount mountain mountains neck orchard oval overpass park parks parkway parkways pass passage \
         path pike pine pines pkwy pl place plain plains plaza point points port ports prairie radial ramp ranch rapid rapids \
         rd rest ridge ridges river road roads route row rue run shoal shoals shore shores skyway spring springs spur spurs \
         sq square squares st station stravenue stream street streets summit ter terrace throughway trace track trafficway trail \
         trailer tunnel turnpike underpass union unions valley valleys via viaduct view views village villages ville vista \
         walk walks wall way ways well wells",
        STREET,
    ),
];
