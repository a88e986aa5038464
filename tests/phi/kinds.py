"""What a template's `{{kind}}` may be: for each, the identifier's class and how a third-party library makes one."""

from faker import Faker

US_DATE, ISO_DATE = "%m/%d/%Y", "%Y-%m-%d"


class Kinds:
    """Makes values. A value is (class, text); class None is no identifier, "log-time" the logger's own clock."""

    def __init__(self, seed):
        Faker.seed(seed)
        self.fake = Faker("en_US")
        self.foreign = [Faker("es_MX"), Faker("de_DE"), Faker("fr_FR")]
        self.random = self.fake.random

    def make(self, kind):
        family, _, _ = kind.partition(".")
        text = getattr(self, kind.replace(".", "_"))()
        return {"n": None, "ts": "log-time", "age": "date"}.get(family, family), text

    # Names: one in ten is not from the United States' lists.
    def _people(self):
        return self.random.choice(self.foreign) if self.random.random() < 0.1 else self.fake

    def name_first(self):
        return self._people().first_name()

    def name_last(self):
        return self._people().last_name()

    def name_full(self):
        people, middle = self._people(), self.random.random()
        initial = f" {self.random.choice('ABCDEFGHJKLMNPRSTW')}." if middle < 0.2 else ""
        return f"{people.first_name()}{initial} {people.last_name()}"

    def name_rev(self):
        people = self._people()
        return f"{people.last_name()}, {people.first_name()}"

    def name_upper(self):
        return self.name_full().upper()

    def name_caret(self):
        people = self._people()
        text = f"{people.last_name()}^{people.first_name()}"
        text += f"^{self.random.choice('ABCDEJKLM')}" if self.random.random() < 0.3 else ""
        return text.upper() if self.random.random() < 0.5 else text

    def name_filename(self):
        return f"{self.fake.last_name()}_{self.fake.first_name()}"

    def geo_street(self):
        return self.fake.street_address()

    def geo_city(self):
        return self.fake.city()

    def geo_zip(self):
        return self.fake.zipcode() if self.random.random() < 0.8 else self.fake.zipcode_plus4()

    # Dates.
    def _day(self):
        return self.fake.date_of_birth(minimum_age=0, maximum_age=99)

    def date_iso(self):
        return self._day().strftime(ISO_DATE)

    def date_us(self):
        return self._day().strftime(US_DATE)

    def date_dmy(self):
        return self._day().strftime(self.random.choice(["%d.%m.%Y", "%d-%b-%Y", "%d %b %Y", "%m-%d-%y"]))

    def date_long(self):
        return self._day().strftime(self.random.choice(["%B %d, %Y", "%b %d, %Y", "%d %B %Y"]))

    def date_mon(self):
        return self._day().strftime("%B %d")

    def date_hl7(self):
        return self._day().strftime("%Y%m%d" if self.random.random() < 0.5 else "%Y%m%d%H%M%S")

    def date_dicom(self):
        return self._day().strftime("%Y%m%d")

    def date_clf(self):
        return self.fake.date_time_this_decade().strftime("%d/%b/%Y:%H:%M:%S +0000")

    def age_old(self):
        return str(self.random.randint(90, 108))

    # Telephone, fax, mail.
    def phone_any(self):
        return self.fake.phone_number()

    def _nanp(self, form):
        digit = lambda low: self.random.randint(low, 9)
        area, office = f"{digit(2)}{digit(0)}{digit(0)}", f"{digit(2)}{digit(0)}{digit(0)}"
        return form.format(area, office, f"{self.random.randint(0, 9999):04}")

    def phone_dash(self):
        return self._nanp("{}-{}-{}")

    def phone_dot(self):
        return self._nanp("{}.{}.{}")

    def phone_paren(self):
        return self._nanp("({}) {}-{}")

    def phone_e164(self):
        return self._nanp("+1{}{}{}")

    fax_any, fax_dash, fax_dot, fax_paren = phone_any, phone_dash, phone_dot, phone_paren

    def email_any(self):
        return self.fake.email() if self.random.random() < 0.7 else self.fake.company_email()

    # Numbers that others gave.
    def ssn_dash(self):
        return self.fake.ssn()

    def ssn_plain(self):
        return self.fake.ssn().replace("-", "")

    def mrn_num(self):
        return self.fake.numerify(self.random.choice(["%#####", "%######", "%########"]))

    def mrn_short(self):
        return self.fake.numerify(self.random.choice(["%##", "%###", "%####"]))

    def mrn_alnum(self):
        return self.fake.bothify(self.random.choice(["?######", "??#####", "?##-###-##", "MRN%#####"]), "ABCDEFGHJKM")

    def plan_id(self):
        return self.fake.bothify(self.random.choice(["???#########", "?########", "%##########", "???%%%##?####"]), "ABCDEHKMRWXYZ")

    def plan_mbi(self):
        return self.fake.bothify("%?#%-?#%-??##", "ACDEFGHJKMNPQRTUVWXY").upper()

    def account_num(self):
        return self.fake.bban()[-10:] if self.random.random() < 0.3 else self.fake.numerify("%#########")

    def account_card(self):
        return self.fake.credit_card_number()

    def account_login(self):
        return self.fake.user_name()

    def licence_npi(self):
        return self.fake.numerify("1#########")

    def licence_dea(self):
        return self.fake.bothify("?%######", "ABFM") if self.random.random() < 0.2 else self.fake.bothify("??%######", "ABFMGKRST")

    def licence_state(self):
        return self.fake.bothify(self.random.choice(["?######", "??-#####", "######"]), "ACGKLMN")

    def vehicle_vin(self):
        return self.fake.vin()

    def vehicle_plate(self):
        return self.fake.license_plate()

    def device_serial(self):
        return self.fake.bothify(self.random.choice(["SN########", "??-####-####", "########", "?#?#?#?#?#"]), "ABCDEFGHKLMNPRSTWX")

    def device_host_serial(self):
        return self.fake.bothify("CT-?####-###", "ABCDEFGHKLMN")

    def device_mac(self):
        mac = self.fake.mac_address()
        return self.random.choice([mac, mac.upper(), mac.replace(":", "-")])

    def device_udi(self):
        return self.fake.bothify("(01)0084###8##3###(17)14####(10)####???(21)##########", "ABCDEF")

    # Network.
    def url_full(self):
        return self.fake.url() + self.fake.uri_path()

    def url_host(self):
        return self.fake.hostname()

    def ip_v4(self):
        return self.fake.ipv4_private() if self.random.random() < 0.7 else self.fake.ipv4_public()

    def ip_v6(self):
        return self.fake.ipv6()

    # Files of a body.
    def biometric_file(self):
        return f"{self.random.choice(['fp', 'iris', 'voice', 'palm'])}_{self.fake.user_name()}_{self.fake.numerify('##')}.{self.random.choice(['wsq', 'bmp', 'bin', 'wav'])}"

    def photo_file(self):
        return self.random.choice([
            lambda: f"IMG_{self._day().strftime('%Y%m%d')}_{self.fake.numerify('######')}.jpg",
            lambda: f"DSC{self.fake.numerify('#####')}.JPG",
            lambda: f"{self.fake.last_name()}_{self.fake.first_name()}_face.png",
            lambda: f"{self.fake.user_name()}-photo.jpeg",
        ])()

    # Codes.
    def code_uuid(self):
        return self.fake.uuid4()

    def code_hex(self):
        return self.fake.md5()

    def code_orthanc(self):
        return "-".join(self.fake.sha1()[at:at + 8] for at in range(0, 40, 8))

    def code_b64(self):
        import base64
        return base64.b64encode(self.random.randbytes(32)).decode().rstrip("=")

    def code_jwt(self):
        import base64
        part = lambda n: base64.urlsafe_b64encode(self.random.randbytes(n)).decode().rstrip("=")
        return f"eyJhbGciOiJIUzI1NiJ9.{part(45)}.{part(32)}"

    def code_long(self):
        return self.fake.numerify("%###########")

    def code_acc(self):
        return self.fake.bothify("?########", "ABCDEF")

    def code_queue(self):
        return self.fake.hexify("^^^^^^^^^^", upper=True)

    def code_uid(self):
        from pydicom.uid import generate_uid
        return generate_uid(entropy_srcs=[str(self.random.random())])

    # No identifiers.
    def n_int(self):
        return str(self.random.randint(1, 9999))

    def n_int1(self):
        return str(self.random.randint(1, 9))

    def n_int2(self):
        return str(self.random.randint(10, 59))

    def n_pid(self):
        return str(self.random.randint(2, 65535))

    def n_port(self):
        return str(self.random.randint(1024, 65535))

    def n_bytes(self):
        return str(self.random.randint(100, 9_999_999))

    def n_float(self):
        return f"{self.random.uniform(0, 900):.3f}"

    def n_pct(self):
        return str(self.random.randint(0, 100))

    def n_ver(self):
        return f"{self.random.randint(1, 9)}.{self.random.randint(0, 20)}.{self.random.randint(0, 9)}"

    def n_uptime(self):
        return f"{self.random.randint(1, 99999):5d}.{self.random.randint(0, 999999):06d}"

    def n_main(self):
        return "MAIN"

    def n_audit(self):
        return f"{self.random.randint(1_500_000_000, 1_900_000_000)}.{self.random.randint(0, 999):03}:{self.random.randint(1, 9999)}"

    # The logger's own clock, at the start of a line.
    def _now(self):
        return self.fake.date_time_this_decade()

    def ts_iso(self):
        return self._now().strftime(self.random.choice(["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S,123", "%Y-%m-%dT%H:%M:%S+00:00"]))

    def ts_plain(self):
        return self._now().strftime("%Y-%m-%d %H:%M:%S")

    def ts_syslog(self):
        return self._now().strftime("%b %d %H:%M:%S")

    def ts_nginx(self):
        return self._now().strftime("%Y/%m/%d %H:%M:%S")

    def ts_samba(self):
        return self._now().strftime("[%Y/%m/%d %H:%M:%S.%f,  3]")

    def ts_glog(self):
        return self._now().strftime("%m%d %H:%M:%S.%f")

    def ts_time(self):
        return self._now().strftime("%H:%M:%S,%f")[:12]
